"""Training: baseline, forests, calibration, metrics."""
