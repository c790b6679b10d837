"""What the API and the workers share: domain, fields, queue, Redis, blobs, audit log, settings."""
