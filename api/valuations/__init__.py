"""`POST /predict`: value one car while the caller waits."""
