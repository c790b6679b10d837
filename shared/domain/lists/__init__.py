"""Lists of cars as columns: their requests and their estimates."""
