"""The fast chunk engine: rows of simple CSV files, read by compiled loops."""
