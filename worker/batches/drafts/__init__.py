"""Previews of drafts: how the first rows of a stored file are read."""
