"""Server-sent events of jobs and batches."""
