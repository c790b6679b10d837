"""The model card: what a version is, how good it is and for whom."""
