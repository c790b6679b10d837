"""Contributions of the features to a price."""
