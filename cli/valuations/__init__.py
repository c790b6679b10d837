"""Commands that ask the API: `carprice predict` and `carprice batch`."""
