"""The texts of every problem, in French and English."""
