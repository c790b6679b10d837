"""What applies to every request: callers, cross-site rules, security headers, problems."""
