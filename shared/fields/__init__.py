"""The single definition of a car's fields."""
