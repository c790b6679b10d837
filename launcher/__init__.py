"""`make up`: preflight checks, embedded servers and the supervisor of the Procfile's processes."""
