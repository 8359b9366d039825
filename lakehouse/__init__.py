"""A mini data warehouse: raw files landed untouched, curated into append-only Delta tables, traceable to the byte."""
