"""The state of the whole service for its operator: one snapshot, for the page and the commands."""
