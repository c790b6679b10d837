"""`carprice backup` and `carprice restore`: the durable data of a service."""
