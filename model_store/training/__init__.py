"""Training: from a table of listings to a forest with its encoder and its calibration."""
