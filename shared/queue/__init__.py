"""The Celery application, names of queues and tasks, sending of messages."""
