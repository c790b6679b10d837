"""The price model: encoding, forest, intervals, training, and the registry of versions."""
