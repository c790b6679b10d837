"""Finds processes that hang, and shows systemd that the supervisor runs."""
