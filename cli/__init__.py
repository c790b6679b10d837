"""The command line `carprice`: one module per command."""
