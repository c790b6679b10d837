"""`/valuations/{id}/outcome`: sale prices that callers report."""
