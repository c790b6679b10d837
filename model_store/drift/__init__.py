"""Drift: how far the cars that callers ask about differ from the training data."""
