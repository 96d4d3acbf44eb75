"""Find duplicates and divide the images without leaks."""
