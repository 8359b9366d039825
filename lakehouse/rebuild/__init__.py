"""Rebuilding: a dataset made again from its raw files as it was configured then, and compared row for row."""
