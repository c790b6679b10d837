"""The HTTP side of the service, its web page and its command line."""
