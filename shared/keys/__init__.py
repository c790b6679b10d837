"""API keys: entries with scopes, expiry and limits, and the store that keeps them."""
