"""The hedonic price model: terms, fit and prediction."""
