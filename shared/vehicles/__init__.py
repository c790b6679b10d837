"""Names of brands and models: the catalogue of known names, and how written names are read."""
