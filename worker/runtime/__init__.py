"""The loaded model of a worker process."""
