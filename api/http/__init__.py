"""Tools of the views: request context, requests, responses, uploads and downloads."""
