"""Result files in other formats: Excel CSV, NDJSON, Parquet."""
