"""The model card: intended use, training data and quality of a version."""
