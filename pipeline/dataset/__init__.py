"""From a source of images to packed arrays: fetch, check, find copies, split, pack."""
