"""The records of the audit log in columns, for queries over many of them.

Parquet files in `columns/` of the log have the verified records of its files. They are derived:
they are made by the first query that needs them, and deleted with the records that they are made
of.
"""
