"""Segments of ended jobs."""
