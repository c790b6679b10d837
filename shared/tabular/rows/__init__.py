"""Rows of a table as text: numbered CSV, headers and units among the rows, chunks of cells."""
