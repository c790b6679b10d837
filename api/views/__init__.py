"""Routes: load, call a service, dump."""
