"""Measures the quality of prices and intervals on real listings."""
