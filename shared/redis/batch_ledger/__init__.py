"""The ledger of batches in Redis, and the scripts that change it."""
