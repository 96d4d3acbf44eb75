"""Measure the model on the test split."""
