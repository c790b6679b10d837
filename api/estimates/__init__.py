"""Estimates that are kept under an address: who may read them, and `/valuations/{id}`."""
