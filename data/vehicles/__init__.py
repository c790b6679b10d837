"""Names of vehicles, and cars as codes."""
