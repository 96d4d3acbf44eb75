"""What people really hand in: files, tables, archives, params, models and outputs that are bad."""
