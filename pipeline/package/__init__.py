"""Make a model artifact from a trained network."""
