"""What the API and the workers agree on: domain, names, settings, ports and their adapters."""
