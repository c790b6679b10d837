"""The ports' implementations: Redis, Celery, files, and the null ones."""
