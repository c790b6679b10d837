"""`GET /suggest`: brands, models and trims while somebody types, and what is usual for a car."""
