"""The fast CSV engine: compiled loops for simple CSV files."""
