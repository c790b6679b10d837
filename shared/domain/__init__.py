"""The domain: frozen values and the rules that hold for them. Standard library only."""
