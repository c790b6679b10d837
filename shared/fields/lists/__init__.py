"""Lists of cars by columns: their validation, and their fields as JSON."""
