"""The commands of operators: the snapshot of `status`, `jobs` and `doctor`."""
