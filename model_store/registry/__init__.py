"""Model versions: manifests, files, verification, the active version."""
