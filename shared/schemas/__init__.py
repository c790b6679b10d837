"""The one definition of the car's fields, and the texts of every problem."""
