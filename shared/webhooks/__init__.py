"""What API, sender and command line agree on about webhooks: addresses, secrets, signatures."""
