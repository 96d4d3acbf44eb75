"""Load an artifact and classify images, without torch."""
