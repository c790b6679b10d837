"""The commands that watch the model and renew it: `drift`, `recalibrate`, `retrain`."""
