"""Git revisions of the project: comparing two, rebuilding one, looking at several."""
