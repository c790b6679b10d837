"""The languages of the service and its message catalogue."""
