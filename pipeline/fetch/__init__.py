"""Read images and labels from a source into data/raw."""
