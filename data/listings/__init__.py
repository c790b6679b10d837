"""Listings files: formats, parsing, the canonical table."""
