"""Stored jobs in Redis: their records, the scripts that change them, and admission by memory."""
