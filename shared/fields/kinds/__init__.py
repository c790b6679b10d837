"""Kinds of fields: each normalises a caller's value or raises the code of the broken rule."""
