"""Typed client of the car price service; imports nothing of the service itself."""
