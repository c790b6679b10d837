"""Health, metrics, statistics and the API documentation."""
