"""Typed client of the car price service; distributed as `carprice_client`."""
