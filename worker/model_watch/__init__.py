"""Watches the active model: drift, errors on reported sales, roll-back, scheduled retraining."""
