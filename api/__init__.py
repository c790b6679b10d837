"""The HTTP side of the service and its pages."""
