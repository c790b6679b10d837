"""The reference market: published statistics, and listings drawn from them."""
