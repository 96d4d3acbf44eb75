"""Read labelled images from a source into data/raw."""
