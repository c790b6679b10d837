"""The version of the service and of its client; both distributions read it from here."""

VERSION = "1.0.0"
