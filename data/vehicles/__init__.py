"""Names of vehicles, and columns of cars."""
