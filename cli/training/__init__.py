"""The commands that train, measure and compare models; the data that they read."""
