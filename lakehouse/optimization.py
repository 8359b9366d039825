"""Optimizing: many small parts of a table written again as few sorted ones; every older version stays as it was."""
