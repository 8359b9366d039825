"""Which snapshots a dataset has taken in, in what order, and which it has to take in now.

What counts is not a file but its *arrival*: the moment its bytes came to lie under an origin. So a picture that comes
back after another one is a snapshot of its own. Snapshots follow one another in the order of their times; one that is
late, or that another takes the place of, makes all that follow it be taken in again.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from lakehouse.config import Dataset, name_pattern
from lakehouse.curation.pending import Again, Rows
from lakehouse.metadata import Ledger
from lakehouse.records import Sighting, Value
from lakehouse.timeline import Timeline

__all__ = ["Arrival", "Order", "applied", "arrivals", "look", "name_of", "order", "to_property"]


@dataclass(frozen=True, slots=True, order=True)
class Arrival:
    """One snapshot. Ordered as they follow one another.

    Attributes:
        at: since when it is the full picture.
        seen_at: when it was landed.
        origin: where from.
        sha256: its bytes.
    """

    at: datetime
    seen_at: datetime
    origin: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return name_of(self.origin)


@dataclass(frozen=True, slots=True)
class Order:
    """What has to be done for all snapshots to have been taken in one after the other.

    Attributes:
        kept: those that stay as they are, in order.
        wanted: those to take in after them, in order.
        again: of these, those that count already: what they are compared with is another now.
        gone: the rows that no longer count then.
        named: those that a person named, to take whatever they delete.
        nameless: files whose name does not hold the moment it should.
    """

    kept: tuple[Arrival, ...]
    wanted: tuple[Arrival, ...]
    again: frozenset[Arrival]
    gone: frozenset[Rows]
    named: frozenset[Arrival] = frozenset()
    nameless: tuple[Sighting, ...] = ()

    @property
    def contents(self) -> list[str]:
        """What has to be read (sha256), in order."""
        return list(dict.fromkeys([*(one.sha256 for one in self.wanted), *(one.sha256 for one in self.nameless)]))


def look(  # noqa: PLR0913  # the question's parts, by name
    ledger: Ledger,
    source: str,
    dataset: Dataset,
    past: Timeline,
    *,
    refused: Collection[str],
    again: Again | None = None,
) -> Order:
    """Find which snapshots a dataset has to take in.

    Args:
        ledger: the ledger.
        source: the dataset's source.
        dataset: the dataset.
        past: its past.
        refused: contents (sha256) that were refused under this very configuration.
        again: take these again, refused ones too, and all that follow them.
    """
    every, nameless = arrivals(ledger.all_sightings(source), dataset)
    since = frozenset(one for one in every if again is not None and again.includes(one.sha256, one.seen_at))
    named = since if again is not None and again.raw else frozenset()
    everything = again is not None and again.everything
    barred = set() if everything else {*refused} - {one.sha256 for one in since}
    found = order(every, applied(past), refused=barred, since=since)
    contents = {one.sha256 for one in every}
    unfit = tuple(one for one in nameless if one.sha256 not in barred and one.sha256 not in contents)
    return dataclasses.replace(found, named=named, nameless=unfit)


def arrivals(sightings: Iterable[Sighting], dataset: Dataset) -> tuple[list[Arrival], list[Sighting]]:
    """Every snapshot that ever came, in order; and the sightings of files whose name holds no moment.

    Args:
        sightings: of the source, oldest first.
        dataset: says when a file was the full picture, and whether newer bytes correct those under the same origin.
    """
    pattern = name_pattern(dataset.snapshot_time)
    moment: datetime | None
    lying: dict[str, list[Sighting]] = {}
    for sighting in sightings:
        lay = lying.setdefault(sighting.origin, [])
        if not lay or lay[-1].sha256 != sighting.sha256:  # else it was only touched
            lay.append(sighting)
    found: list[Arrival] = []
    nameless: list[Sighting] = []
    for origin, lay in lying.items():
        moment = pattern.moment(name_of(origin)) if pattern is not None else None
        for sighting in lay[-1:] if dataset.corrects else lay:
            at = sighting.seen_at if pattern is None else moment
            if at is None:
                nameless.append(sighting)
            else:
                found.append(Arrival(at, sighting.seen_at, origin, sighting.sha256))
    return sorted(found), nameless


def applied(past: Timeline) -> dict[Arrival, int]:
    """The snapshots whose rows count now, in order, and the execution that took each in."""
    made = past.ledger.get_executions(type="Curate", context=past.context, saying="snapshots", only=["snapshots"])
    hidden = past.hidden(past.last) if past.last is not None else {}
    found = {}
    for execution in made:
        gone = hidden.get(execution.id, set())
        if gone is None:
            continue
        for one in _from_property(execution.properties["snapshots"]):
            if one.sha256 not in gone:
                found[one] = execution.id
    return {one: found[one] for one in sorted(found)}


def order(
    every: Sequence[Arrival],
    done: Mapping[Arrival, int],
    *,
    refused: Collection[str] = (),
    since: Collection[Arrival] | None = None,
) -> Order:
    """What to take in.

    Args:
        every: the snapshots there are, in order.
        done: those that count, in order, with their executions.
        refused: contents (sha256) that are not tried again.
        since: snapshots to take in again, with all that follow; none where there are none of these.
    """
    there = [one for one in every if one in done or one.sha256 not in refused]
    # The same bytes twice in a row say nothing new.
    wanted = [one for n, one in enumerate(there) if n == 0 or one in done or one.sha256 != there[n - 1].sha256]
    count = 0
    for before, one in zip(done, wanted, strict=False):
        if before != one or one in (since or ()):
            break
        count += 1
    made = list(done.items())
    # Rows are superseded by execution and raw file: a file that one execution took in twice goes as a whole.
    while again := {(e, one.sha256) for one, e in made[count:]} & {(e, one.sha256) for one, e in made[:count]}:
        count = next(n for n, (one, e) in enumerate(made) if (e, one.sha256) in again)
    kept, rest = tuple(wanted[:count]), tuple(wanted[count:])
    gone = frozenset((e, one.sha256) for one, e in made[count:])
    return Order(kept, rest, frozenset(rest) & done.keys(), gone)


def to_property(snapshots: Sequence[Arrival]) -> Value:
    """Snapshots as a curation's record keeps them."""
    return json.dumps([[one.at.isoformat(), one.seen_at.isoformat(), one.origin, one.sha256] for one in snapshots])


def _from_property(value: Value) -> list[Arrival]:
    listed: list[Any] = json.loads(str(value))
    return [
        Arrival(datetime.fromisoformat(at), datetime.fromisoformat(seen_at), origin, sha)
        for at, seen_at, origin, sha in listed
    ]


def name_of(origin: str) -> str:
    """The last part of a path or URL."""
    parts = urlsplit(origin)
    path = unquote(parts.path) if parts.scheme in ("http", "https") else origin
    return posixpath.basename(path.rstrip("/"))
