"""What `carprice up` does: checks, then one supervisor over the processes of the Procfile."""
