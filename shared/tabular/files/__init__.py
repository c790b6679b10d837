"""A file as it arrives: compression, kind and dialect; a file of this machine as a table."""
