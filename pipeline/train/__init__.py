"""Augmentation, data module, network and training."""
