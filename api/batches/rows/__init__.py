"""Rows of a batch: pages of them, filters and the search for a text."""
