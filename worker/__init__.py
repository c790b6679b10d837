"""The Celery workers: they hold the forest in memory and value the cars of the queue."""
