"""The shadow model version: evaluated on a sample of requests after their responses."""
