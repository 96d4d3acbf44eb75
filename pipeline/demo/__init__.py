"""A local page to try a model on photos: predictions, occlusion maps and augmentations."""
