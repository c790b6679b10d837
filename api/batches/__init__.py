"""`/batches`: upload a file, follow it, download its results."""
