"""The Celery workers: they hold the forest in memory and answer the queue."""
