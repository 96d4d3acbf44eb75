"""From a model artifact to predictions."""
