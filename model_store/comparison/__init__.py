"""Comparison of two model versions on listings that neither was trained on."""
