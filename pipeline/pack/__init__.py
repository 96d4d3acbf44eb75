"""Decode and resize every image once, into one uint8 array per split."""
