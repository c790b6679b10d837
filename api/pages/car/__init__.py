"""The page at `/`: the form of one car and its estimate."""
