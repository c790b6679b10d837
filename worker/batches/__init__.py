"""Files of cars: split into chunks, value each chunk, assemble the results."""
