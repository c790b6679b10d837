"""Webhooks: reads callback addresses of requests; the process that reports ended work to them."""
