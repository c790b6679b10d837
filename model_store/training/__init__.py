"""Training: from a table of listings to a forest, its encoder and its calibration."""
