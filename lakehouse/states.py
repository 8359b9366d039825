"""States of keys over two axes of time: pure functions over frames of rows that say what became of a key."""
