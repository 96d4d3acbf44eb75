"""Where images come from: each module turns one kind of `fetch.source` into a folder or archive."""
