"""Listing files as people have them, read into one table."""
