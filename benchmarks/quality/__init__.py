"""How right the prices are, on real listings."""
