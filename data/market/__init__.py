"""The reference market: its statistics, their estimation, and listings generated from them."""
