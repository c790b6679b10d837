"""What the workers do, free of Celery."""
