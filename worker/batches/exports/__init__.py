"""Exports: result tables as Excel CSV, NDJSON or Parquet."""
