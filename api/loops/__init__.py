"""Event loops of the process: how threads call through them, and calls that requests share."""
