"""The operations dashboard at `/ops`."""
