"""`make faults`: breaks a running service and compares accepted work with answers and records."""
