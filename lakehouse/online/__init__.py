"""Online stores: the newest values of each key, one row a key, for lookups in well under a millisecond."""
