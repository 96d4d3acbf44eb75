"""Stage `report`: the page and the summary."""
