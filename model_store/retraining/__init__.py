"""Retraining: from new listings to an active version, and back if reported sales are worse."""
