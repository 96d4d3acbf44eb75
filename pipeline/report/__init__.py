"""Write the report page and the summary."""
