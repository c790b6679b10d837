"""The pages at `/fichiers`: upload a file of cars, follow its progress, use its results."""
