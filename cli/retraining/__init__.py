"""The commands that watch the model and replace it: `drift`, `retrain`."""
