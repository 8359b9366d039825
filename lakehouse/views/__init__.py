"""What a dataset shows at a version: its rows that count, and of a keyed dataset the state they add up to."""

from lakehouse.views.keeping import ZONE, keep_state, kept_states
from lakehouse.views.showing import Files, files, readable, rows, state

__all__ = ["ZONE", "Files", "files", "keep_state", "kept_states", "readable", "rows", "state"]
