"""`carprice audit`: the audit log."""
