"""A typed client of the car price service, usable without any of its code."""
