"""Files of batches, in a folder or in an object store."""
