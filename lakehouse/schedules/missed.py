"""What becomes of the times that came due while nobody looked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, Literal

from lakehouse.schedules.times import Schedule, Slot

__all__ = ["Decision", "missed"]

_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done of the times that came due.

    Attributes:
        run: a run each, oldest first.
        skipped: the stretch of time that nobody will be asked for, its last moment as its ``due``; None where nothing
            is skipped.
        until: up to when it is decided; the next look goes on from there.
    """

    run: tuple[Slot, ...]
    skipped: Slot | None
    until: datetime


def missed(  # noqa: PLR0913  # a policy's parts, by name
    schedule: Schedule,
    after: datetime,
    upto: datetime,
    now: datetime,
    *,
    catch_up: Literal["skip", "once", "all"],
    limit: int,
    grace: timedelta,
) -> Decision:
    """Decide now about the times later than ``after`` and not later than ``upto``.

    Of several, or of late ones: ``once`` runs once for all of them together, ``all`` runs the newest ``limit`` one by
    one, ``skip`` runs the newest where it is not later than ``grace``. A year of seconds is decided as fast as one.
    """
    newest = list(islice(_back(schedule, after, upto), limit + 1 if catch_up == "all" else 1))
    if not newest:
        return Decision((), None, max(after, upto))
    first = schedule.after(after) or newest[0]
    if catch_up == "once":
        return Decision((Slot(newest[0], schedule.before(first)),), None, upto)
    kept = newest[:limit][::-1] if catch_up == "all" else [due for due in newest if now - due <= grace]
    oldest = kept[0] if kept else None
    if oldest == first:
        skipped = None
    elif oldest is None:
        skipped = Slot(newest[0], schedule.before(first))
    else:
        last = schedule.before(oldest) or first
        skipped = Slot(last, schedule.before(first))
    return Decision(tuple(schedule.slot(due) for due in kept), skipped, upto)


def _back(schedule: Schedule, after: datetime, upto: datetime) -> Iterator[datetime]:
    """The moments in between, the newest first."""
    due = schedule.before(upto + _TICK)
    while due is not None and due > after:
        yield due
        due = schedule.before(due)
