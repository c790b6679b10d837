"""Fair queues in Redis: callers share the workers."""
