"""Signs that stand for others in plain rows whose quotes were taken off."""

SEPARATOR = 31
"""The unit separator, between cells: a cell may have the file's delimiter in it."""

EMBEDDED_LINE_FEED = 30
"""The record separator, for a line feed inside of a cell."""
