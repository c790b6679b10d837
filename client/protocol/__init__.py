"""The protocol of the service, written once for both clients: requests, repetitions, waiting."""
