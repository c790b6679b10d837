"""Webhooks in Redis: ends that were recorded, what is pending by receiver, what was given up."""
