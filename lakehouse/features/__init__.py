"""Point-in-time features for training, and the newest of each key for serving."""
