"""Parts of the audit log that are verified elsewhere."""
