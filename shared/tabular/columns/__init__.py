"""What the columns of a file mean: candidates for fields, their units, and what is missing."""
