"""Exports: result tables as CSV of another dialect, NDJSON, Parquet or Excel workbooks."""
