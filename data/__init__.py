"""Market data: reading listings, statistics of the market, and generated listings."""
