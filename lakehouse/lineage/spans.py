"""Which versions of a dataset show the rows that a curation made of a raw file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeAlias

from lakehouse import timeline
from lakehouse.metadata import Ledger
from lakehouse.timeline import Timeline

__all__ = ["Past", "Span", "Spans", "overall"]

Spans: TypeAlias = Mapping[str, "Span"]
"""By raw file (sha256), the versions that show the rows a curation made of it."""


@dataclass(frozen=True, slots=True)
class Span:
    """From which version to which something is shown.

    Attributes:
        last: the last one; None where the newest shows it still.
        until: when the version came that leaves it out; None where none does.
    """

    first: int
    last: int | None
    until: datetime | None = None

    def at(self, version: int) -> bool:
        """Whether a version shows it."""
        return self.first <= version and (self.last is None or version <= self.last)

    def __str__(self) -> str:
        if self.last is None:
            return f"since version {self.first}"
        return f"in version {self.first}" if self.first == self.last else f"in versions {self.first} to {self.last}"


class Past:
    """Whose rows each version of a dataset shows. Reads of the ledger what it is asked for, and keeps that.

    Args:
        ledger: the ledger.
        dataset: the dataset.
        counts: rows read and rejected of each raw file (sha256) by curation, as far as they are known already.
    """

    def __init__(
        self, ledger: Ledger, dataset: str, counts: dict[int, dict[str, tuple[int, int]]] | None = None
    ) -> None:
        self.ledger = ledger
        self.dataset = dataset
        self.timeline: Timeline = timeline.read(ledger, dataset)
        self._counts = {} if counts is None else counts
        self._ends: dict[int, tuple[int, datetime]] = {}

    @cached_property
    def derived(self) -> bool:
        """Whether the dataset is made from others: then each version is made by one execution, whatever came before."""
        return bool(self.ledger.get_executions(type="Derive", context=self.timeline.context, limit=1, only=()))

    @cached_property
    def made(self) -> dict[int, int]:
        """The version that each curation made, oldest first."""
        return timeline.versions_of(self.timeline.making(newest_first=False))

    @cached_property
    def read_by_others(self) -> tuple[int, ...]:
        """The versions that steps read."""
        names = self.ledger.read_artifacts("TableVersion", f"{self.dataset}@")
        return tuple(sorted(int(name.rpartition("@")[2]) for name in names))

    def counts(self, executions: Collection[int]) -> dict[int, dict[str, tuple[int, int]]]:
        """Rows read and rows rejected of each raw file (sha256) of some curations."""
        missing = set(executions) - self._counts.keys()
        for execution in self.ledger.get_executions(ids=missing, only=["files"]) if missing else ():
            self._counts[execution.id] = timeline.counts(execution)
        return {identity: self._counts.get(identity, {}) for identity in executions}

    def spans(self, made: Mapping[int, int]) -> dict[int, Spans]:
        """Where the rows of some curations are shown, given with the version that each of them made."""
        counts = self.counts(made)
        gone = {(one, sha): self._gone_at(one, sha) for one in counts.keys() & self._gone.keys() for sha in counts[one]}
        self._learn_ends({version for version in gone.values() if version is not None})
        return {
            one: {sha: self._span(made[one], gone[one, sha]) for sha in counted}
            if one in self._gone
            else dict.fromkeys(counted, Span(made[one], None))
            for one, counted in counts.items()
        }

    def until_the_next(self, version: int) -> Span:
        """The versions that show what a version of a derived dataset does: itself, until it is derived anew."""
        later = next((number for number in self.made.values() if number > version), None)
        if later is None:
            return Span(version, None)
        self._learn_ends([later])
        return Span(version, *self._ends[later])

    def overall(self, executions: Collection[int]) -> Span:
        """The versions that show any row of some curations, each of which made a version."""
        first = min(self.made[execution] for execution in executions)
        if any(execution not in self._gone for execution in executions):  # no need to look at every raw file
            return Span(first, None)
        spans = self.spans({execution: self.made[execution] for execution in executions})
        return overall((span for of_one in spans.values() for span in of_one.values()), first)

    def makers(
        self, version: int, *, limit: int | None = None, since: datetime | None = None, until: datetime | None = None
    ) -> list[int]:
        """The curations whose rows a version shows, and the one that made it; oldest first.

        Args:
            version: the version.
            limit: how many at most, the newest.
            since: when they began, at the earliest.
            until: and at the latest.
        """
        if self.derived:
            found = self.timeline.making(last=self._maker(version), since=since, until=until, limit=1)
            return [execution.id for execution in found if execution.id == self._maker(version)]
        hidden = self._left_out(version)
        found = self.timeline.making(
            last=self._maker(version),
            since=since,
            until=until,
            limit=None if limit is None else limit + len(hidden),
        )
        shown = [execution.id for execution in found if execution.id not in hidden]
        return shown[:limit][::-1]

    def count_makers(self, version: int) -> int:
        """How many curations there are whose rows a version shows, with the one that made it."""
        if self.derived:
            return 1
        last, hidden = self._maker(version), self._left_out(version)
        return self.timeline.count_making(last=last) - self.timeline.count_making(last=last, among=hidden)

    def rows(self, version: int) -> dict[tuple[int, str], int]:
        """How many rows a version shows of each curation and raw file (sha256)."""
        return {
            (execution, sha): read - rejected
            for execution, counted in self.counts(self.makers(version)).items()
            for sha, (read, rejected) in counted.items()
            if not self._hidden(execution, sha, version)
        }

    @cached_property
    def _gone(self) -> dict[int, dict[str | None, int]]:
        """Of every curation whose rows are left out, from which version on: by raw file, None for all the others."""
        found: dict[int, dict[str | None, int]] = {}
        for execution in self.timeline.superseding():
            version = execution.properties.get("version")
            if isinstance(version, int):
                for old, raws in timeline.superseded(execution).items():
                    for sha in (None,) if raws is None else raws:
                        found.setdefault(old, {}).setdefault(sha, version)
        return found

    def _maker(self, version: int) -> int:
        """The curation that made a version; those that made older ones have smaller numbers."""
        return self.timeline.at(version).execution

    def _left_out(self, version: int) -> set[int]:
        """The curations of whose rows a version shows none any more."""
        touched = {one for one, gone in self._gone.items() if min(gone.values()) <= version}
        whole = {one for one in touched if self._hidden(one, None, version)}
        partly = self.counts(touched - whole)
        return whole | {e for e, counted in partly.items() if all(self._hidden(e, sha, version) for sha in counted)}

    def _gone_at(self, execution: int, sha: str | None) -> int | None:
        gone = self._gone.get(execution, {})
        return min((gone[key] for key in {sha, None} if key in gone), default=None)

    def _hidden(self, execution: int, sha: str | None, version: int) -> bool:
        gone = self._gone_at(execution, sha)
        return gone is not None and gone <= version

    def _span(self, first: int, gone: int | None) -> Span:
        return Span(first, None) if gone is None else Span(first, *self._ends[gone])

    def _learn_ends(self, versions: Collection[int]) -> None:
        """Learn which version was the last before each of these, and when these came."""
        missing = set(versions) - self._ends.keys()
        found = self.timeline.numbered({number for version in missing for number in (version - 1, version)})
        for version in missing:
            # Numbers are those of the table's commits; not every one is a version.
            before = found.get(version - 1) or self.timeline.before(found[version].execution)
            self._ends[version] = before.version if before else version - 1, found[version].committed_at


def overall(spans: Iterable[Span], version: int) -> Span:
    """The versions in which anything of several spans is shown; of none: the one version."""
    every = list(spans)
    if not every:
        return Span(version, version)
    first = min(span.first for span in every)
    if any(span.last is None for span in every):
        return Span(first, None)
    last = max(every, key=lambda span: span.last or 0)
    return Span(first, last.last, last.until)
