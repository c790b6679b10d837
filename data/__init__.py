"""Market data: listings as people have them, statistics of the market, cars drawn from them."""
