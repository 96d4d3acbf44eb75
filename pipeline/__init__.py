"""Bluelight: a reproducible image-classification pipeline built on DVC and Lightning."""
