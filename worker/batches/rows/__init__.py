"""The general chunk engine: rows parsed as cells, validated by column."""
