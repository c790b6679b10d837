"""How a file writes its table: encoding, dialect, headers, rows."""
