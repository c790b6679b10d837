"""Prometheus and Alertmanager beside the service: `carprice observe`."""
