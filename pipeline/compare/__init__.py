"""Compare the techniques: statistics, tables and plots."""
