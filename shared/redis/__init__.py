"""Everything kept in Redis: connections, keys, jobs, batch ledger, result cache."""
