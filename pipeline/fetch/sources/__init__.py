"""One module per kind of remote source."""
