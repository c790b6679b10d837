"""Workbooks and Parquet files, read by a child process."""
