"""Resolve what each technique of the comparison changes."""
