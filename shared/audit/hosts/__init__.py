"""The audit logs of several hosts: copies in the state store, and questions by the broker."""
