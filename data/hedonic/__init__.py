"""The hedonic price model: its terms, its fit, its tables."""
