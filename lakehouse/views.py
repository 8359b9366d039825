"""What a dataset shows at a version: its rows, its states, and where they are kept to be read fast."""
