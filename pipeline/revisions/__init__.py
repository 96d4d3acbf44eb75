"""Compare, rebuild and look at git revisions."""
