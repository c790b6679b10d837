"""Checks and repairs the append-only files of the embedded broker."""
