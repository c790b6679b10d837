"""State that several hosts share: conditional objects of a store, and copies of them on a host."""
