"""`/models`: the model registry over HTTP, and model cards."""
