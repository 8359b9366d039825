"""Versions of data, like code: tags, differences, pins, exports and imports."""
