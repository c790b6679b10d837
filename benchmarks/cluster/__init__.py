"""Several hosts on one machine, and the guarantees that hold across them."""
