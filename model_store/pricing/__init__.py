"""Prices of cars: encoding, intervals, depreciation and comparables."""
