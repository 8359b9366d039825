"""A source that has no files of its own: all are pushed to it (`Lake.land_bytes`, ``lakehouse land --file``)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from lakehouse.sources import Offer, Seen, Source

__all__ = ["PushSource"]


class PushSource(Source):
    """What others hand over."""

    def offers(self, seen: Seen, now: datetime) -> Iterator[Offer]:
        """None: what is pushed is landed when it comes."""
        del seen, now
        return iter(())
