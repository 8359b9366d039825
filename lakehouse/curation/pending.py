"""Which raw files a dataset still has to take in, always worked out from the ledger.

A look need not begin at the beginning. After one whose batches all went through, every file that lies
at the source is in the dataset, or was refused; so the next look asks only what landings have seen
since, and what that involves. `Look` is such a point; without one everything is looked at, by the
same code.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from lakehouse.errors import NotFoundError
from lakehouse.metadata import Ledger, Origins
from lakehouse.records import Artifact, EventType, Execution, ExecutionState, RawFile, raw_id
from lakehouse.timeline import Timeline

__all__ = ["Again", "Look", "Pending", "Rows", "Together", "look", "newest_looks", "raw_files", "verify"]


Rows: TypeAlias = tuple[int, str]
"""The rows an execution made of a raw file: its number, and the file's sha256."""

_SETTLED = (ExecutionState.COMPLETE, ExecutionState.FAILED)


@dataclass(frozen=True, slots=True)
class Again:
    """Which raw files are taken again though their rows count already: all, those named, or those since a moment.

    Attributes:
        raw: how the sha256 of those begins that are named; () where none is.
        since: they were landed then or later.
    """

    raw: tuple[str, ...] = ()
    since: datetime | None = None

    @property
    def everything(self) -> bool:
        """Whether none is left out."""
        return not self.raw and self.since is None

    def includes(self, sha256: str, landed_at: datetime) -> bool:
        """Whether a raw file is one of them."""
        return (not self.raw or sha256.startswith(self.raw)) and (self.since is None or landed_at >= self.since)


@dataclass(frozen=True, slots=True)
class Look:
    """What a dataset's curation looked at, kept in its record when all that came of it went through.

    Attributes:
        source: one of the dataset's sources then.
        landing: the source's newest landing (its execution) that it knew in full.
        older: how many of its files' rows count that were made under another configuration than its own.
        execution: the curation.
        fingerprint: of its configuration and code.
    """

    source: str
    landing: int
    older: int
    execution: int = 0
    fingerprint: str = ""

    def to_json(self) -> str:
        """As the curation's record keeps it."""
        return json.dumps(self.plain())

    def plain(self) -> dict[str, Any]:
        """What of it is kept."""
        return {"source": self.source, "landing": self.landing, "older": self.older}


@dataclass(frozen=True, slots=True)
class Pending:
    """What is to be read of one source, and what is known for deciding which older rows that replaces.

    All sets and mappings hold what these files involve, or all there is where everything was looked at.

    Attributes:
        files: the raw files to read, in the order of their origins; where it matters in that of their landing.
        refused: how many files are left out because they were refused under this very configuration.
        visible: the rows that count now.
        foreign: those of them that came from a source which the dataset has no more.
        live: sha256 of what lies at any origin now.
        earlier: sha256 of what lay before at the origins where this content (sha256) lies now.
        counting: of how many files the rows of each execution in ``visible`` count.
        older: those executions that ran under another configuration than now.
        left: how many of the source's files' rows count that such executions made; of all there are.
        seen: what was looked at.
        barred: all contents (sha256) looked at that were refused under this very configuration.
    """

    files: tuple[RawFile, ...]
    refused: int
    visible: frozenset[Rows]
    foreign: frozenset[Rows]
    live: frozenset[str]
    earlier: Mapping[str, set[str]]
    counting: Mapping[int, int]
    older: frozenset[int]
    left: int
    seen: Look
    barred: frozenset[str] = frozenset()

    def replaced(self, read: Collection[str], *, anew: bool = False) -> frozenset[Rows]:
        """The rows that no longer count once these contents (sha256) are curated.

        Args:
            read: the contents.
            anew: they take the place of everything: what they go to holds no older row.
        """
        if anew:
            return self.visible
        # What is visible counts as well: bytes that are here already may have come to lie in another file's place.
        here = {*read, *(sha for _, sha in self.visible - self.foreign)}
        old = {sha for new in here for sha in self.earlier.get(new, ()) if sha not in self.live}
        return frozenset(rows for rows in self.visible - self.foreign if rows[1] in old or rows[1] in read)

    def superseded(self, gone: Collection[Rows]) -> dict[int, list[str] | None]:
        """Replaced rows in the ledger's form, `timeline.Superseded`: None where all that count of an execution go."""
        return _superseded(gone, self.counting)

    def seen_after(self, gone: Collection[Rows]) -> Look:
        """The look to keep with the last batch, when these rows were replaced by all batches together."""
        made = sum(rows[0] in self.older for rows in gone if rows in self.visible)  # and not of another source
        return dataclasses.replace(self.seen, older=self.left - made)


@dataclass(frozen=True, slots=True)
class Together:
    """What is to be read of all sources of a dataset.

    Attributes:
        parts: of each source, by its name.
        nothing_new: whether nothing came since the look before, of a dataset for which that is all that matters.
    """

    parts: Mapping[str, Pending]
    nothing_new: bool = False

    @property
    def files(self) -> tuple[RawFile, ...]:
        """The raw files to read: one source after the other, each in the order of their origins."""
        return tuple(file for part in self.parts.values() for file in part.files)

    @property
    def refused(self) -> int:
        """How many files are left out because they were refused under this very configuration."""
        return sum(part.refused for part in self.parts.values())

    @property
    def left(self) -> int:
        """How many files' rows count that were made under another configuration."""
        return sum(part.left for part in self.parts.values())

    @property
    def foreign(self) -> frozenset[Rows]:
        """The rows that count and came from none of these sources."""
        return frozenset[Rows]().union(*(part.foreign for part in self.parts.values()))

    def replaced(self, read: Iterable[RawFile], *, anew: bool = False) -> frozenset[Rows]:
        """The rows that no longer count once these files are curated; see `Pending.replaced`."""
        contents: dict[str, set[str]] = {source: set() for source in self.parts}
        for file in read:
            contents[file.source].add(file.sha256)
        found = (part.replaced(contents[source], anew=anew) for source, part in self.parts.items())
        return frozenset[Rows]().union(*found)

    def superseded(self, gone: Collection[Rows]) -> dict[int, list[str] | None]:
        """Replaced rows in the ledger's form; see `Pending.superseded`."""
        counting = {e: count for part in self.parts.values() for e, count in part.counting.items()}
        return _superseded(gone, counting)

    def looks_after(self, gone: Collection[Rows]) -> str:
        """The looks to keep with the last batch, when these rows were replaced by all batches together, as JSON."""
        looks = [part.seen_after(gone).plain() for part in self.parts.values()]
        return json.dumps(looks[0] if len(looks) == 1 else looks)


def newest_looks(past: Timeline, sources: Collection[str]) -> dict[str, Look]:
    """The newest looks of a dataset whose batches all went through, by source.

    None before the first, and none at all where a source was looked at that is no longer among these: its rows
    are found by a look at everything alone.
    """
    found = past.ledger.get_executions(
        type="Curate",
        context=past.context,
        having="looked",
        newest_first=True,
        limit=1,
        only=["looked", "fingerprint", "fingerprints"],
    )
    if not found:
        return {}
    execution = found[0]
    said = json.loads(str(execution.custom_properties["looked"]))
    looks = {
        kept["source"]: Look(**kept, execution=execution.id, fingerprint=_fingerprint(execution, kept["source"]))
        for kept in ([said] if isinstance(said, dict) else said)
    }
    return looks if looks.keys() <= set(sources) else {}


def _fingerprint(execution: Execution, source: str) -> str:
    """Of the configuration and code by which a curation read the files of a source."""
    several = execution.properties.get("fingerprints")
    own: Mapping[str, str] = json.loads(str(several)) if several else {}
    return own.get(source, str(execution.properties.get("fingerprint", "")))


def _superseded(gone: Collection[Rows], counting: Mapping[int, int]) -> dict[int, list[str] | None]:
    found: dict[int, set[str]] = {}
    for execution, sha in gone:
        found.setdefault(execution, set()).add(sha)
    return {e: sorted(found[e]) if len(found[e]) < counting[e] else None for e in sorted(found)}


def look(  # noqa: PLR0913  # the question's parts, by name
    ledger: Ledger,
    source: str,
    past: Timeline,
    *,
    fingerprint: str,
    judged: str = "",
    since: Look | None = None,
    again: Again | None = None,
    others: Collection[str] = (),
    corrects: bool = True,
    keyed: bool = False,
) -> Pending:
    """Find what a dataset has to read of a source.

    Args:
        ledger: the ledger.
        source: the dataset's source, or one of them.
        past: the dataset's past.
        fingerprint: of configuration and code now: a file refused under another one is tried again.
        judged: of what batches are judged by now: a batch refused by its anomalies under another one is tried again.
        since: an earlier look (`newest_looks`): what it settled is not looked at again. Changes no answer.
        again: take these again, refused files too; everything is looked at.
        others: the dataset's other sources, whose rows are looked at for themselves.
        corrects: whether what lies at an origin takes the place of what lay there before.
        keyed: whether it matters in what order rows come.
    """
    since = since if again is None else None
    if since is not None and not corrects and since.fingerprint != fingerprint:
        since = None  # what was replaced under another configuration may count again
    looking = _Looking(ledger, source, past, (fingerprint, judged), since, alone=not others)
    refused, tried = looking.refused()
    here = looking.origins(tried)
    contents = {sha for lay in here.contents.values() for sha in lay}
    live = frozenset(here.newest.values())
    found = looking.visible(contents)
    visible = {rows: whose == source for rows, whose in found.items() if whose not in others}
    wanted = contents & live if corrects else contents
    if again is None:
        wanted -= {sha for (_, sha), own in visible.items() if own}
    files = [f for f in looking.files(wanted) if again is None or again.includes(f.sha256, f.landed_at)]
    left_out = {file.sha256 for file in files} & refused if again is None else set()
    lay = here.newest.items() if corrects else ((origin, sha) for origin, of in here.contents.items() for sha in of)
    place = {sha: origin for origin, sha in sorted(lay, reverse=True)}  # a content's first origin
    by_landing = keyed or not corrects
    older = looking.older()
    return Pending(
        files=tuple(
            sorted(
                (f for f in files if f.sha256 not in left_out),
                key=lambda f: (f.landed_at.timestamp() if by_landing else 0.0, place[f.sha256]),
            )
        ),
        refused=len(left_out),
        visible=frozenset(visible),
        foreign=frozenset(rows for rows, own in visible.items() if not own),
        live=live,
        earlier=_earlier(here.contents.values()) if corrects else {},
        counting=looking.counting(found),
        older=older,
        left=looking.left(visible, older),
        seen=Look(source, here.upto, 0),
        barred=frozenset(refused),
    )


def raw_files(ledger: Ledger, source: str, contents: Collection[str]) -> list[RawFile]:
    """A source's raw files of these contents (sha256)."""
    found = ledger.get_artifacts(type="RawFile", external_ids=[raw_id(source, sha) for sha in contents])
    return [_raw(artifact) for artifact in found]


class _Looking:
    """One look under way: what it asks the ledger, for all there is or for what came since an earlier look."""

    def __init__(  # noqa: PLR0913  # as `look`
        self,
        ledger: Ledger,
        source: str,
        past: Timeline,
        configured: tuple[str, str],
        since: Look | None,
        *,
        alone: bool,
    ) -> None:
        self._ledger = ledger
        self._source = source
        self._alone = alone
        self._past = past
        self._fingerprint, self._judged = configured
        self._since = since
        after = None if since is None else since.execution
        self._recent = [e for e in self._curations(after=after) if e.state in _SETTLED]
        self._made = {e.id: e for e in self._recent}  # the curations met so far
        self._hidden: dict[int, set[str] | None] = {}

    def refused(self) -> tuple[set[str], set[str]]:
        """Contents (sha256) refused under this very configuration; and those that must be looked at again, with them.

        Everything that was ever refused must be when the configuration is another than at the earlier look.
        """
        partly, whole = self._curations(saying="refused"), self._curations(state=ExecutionState.FAILED)
        made = {e.id: e for e in (*partly, *whole) if e.state in _SETTLED}
        otherwise = {e.id for e in made.values() if e.properties.get("judged", self._judged) != self._judged}
        same = {e.id for e in made.values() if not self._otherwise(e)} - otherwise
        settled = self._since is None or (self._since.fingerprint == self._fingerprint and not otherwise)
        asked = same if settled else made.keys()
        events = self._ledger.get_events(execution_ids=asked, types=[EventType.DECLARED_INPUT])
        names = self._names({event.artifact_id for event in events})
        own = [(e.execution_id, names[e.artifact_id][1]) for e in events if names[e.artifact_id][0] == self._source]
        return {sha for execution, sha in own if execution in same}, {sha for _, sha in own}

    def origins(self, tried: Collection[str]) -> Origins:
        """The origins that changed, and all that this and what was tried involve."""
        return self._ledger.origins(self._source, after=self._since.landing if self._since else 0, also=tried)

    def visible(self, contents: Collection[str]) -> dict[Rows, str]:
        """The rows of these contents and of the curations since that count now, and the sources they are of."""
        complete = [e.id for e in self._recent if e.state is ExecutionState.COMPLETE]
        events = self._ledger.get_events(execution_ids=complete, types=[EventType.INPUT])
        if self._since is not None:
            raw = self._ledger.get_artifacts(type="RawFile", external_ids=self._identities(contents), only=())
            read = self._ledger.get_events(artifact_ids=[a.id for a in raw], types=[EventType.INPUT])
            before = {event.execution_id for event in read} - self._made.keys()
            found = self._curations(ids=before, state=ExecutionState.COMPLETE)
            self._made |= {e.id: e for e in found}
            events += [event for event in read if event.execution_id in {e.id for e in found}]
        if events and self._past.last is not None:
            oldest = min(event.execution_id for event in events)
            self._hidden = self._past.hidden(self._past.last, after=oldest - 1)
        names = self._names({event.artifact_id for event in events})
        rows = {
            (e.execution_id, names[e.artifact_id][1]): names[e.artifact_id][0] for e in events if e.artifact_id in names
        }
        return {
            (execution, sha): source
            for (execution, sha), source in rows.items()
            if (gone := self._hidden.get(execution, set())) is not None and sha not in gone
        }

    def files(self, contents: Collection[str]) -> list[RawFile]:
        """The raw files of these contents."""
        return raw_files(self._ledger, self._source, contents)

    def older(self) -> frozenset[int]:
        """Those of the curations met that ran under another configuration."""
        return frozenset(e.id for e in self._made.values() if self._otherwise(e))

    def counting(self, visible: Collection[Rows]) -> dict[int, int]:
        """Of how many files the rows of each visible execution count."""
        found = Counter(execution for execution, _ in visible)
        recent = {e.id for e in self._recent}
        return dict(found) | self._count([e for e in found if e not in recent], self._hidden)

    def left(self, visible: Collection[Rows], older: Collection[int]) -> int:
        """How many files' rows count that were made under another configuration; of all there are."""
        if self._since is None:
            return len({sha for execution, sha in visible if execution in older})
        if self._since.fingerprint == self._fingerprint and not self._recent:
            return self._since.older
        hidden = self._past.hidden(self._past.last) if self._past.last else {}
        complete = self._curations(state=ExecutionState.COMPLETE)
        counting = [e.id for e in complete if self._otherwise(e) and hidden.get(e.id, set()) is not None]
        if self._alone:
            return sum(self._count(counting, hidden).values())
        # Files of other sources are not this one's to count, so each has to be looked at.
        events = self._ledger.get_events(execution_ids=counting, types=[EventType.INPUT])
        names = self._names({event.artifact_id for event in events})
        read = [(e.execution_id, *names[e.artifact_id]) for e in events if e.artifact_id in names]
        return sum(source == self._source and sha not in (hidden.get(e) or ()) for e, source, sha in read)

    def _otherwise(self, curation: Execution) -> bool:
        """Whether it ran under another configuration than now."""
        return _fingerprint(curation, self._source) != self._fingerprint

    def _count(self, executions: Collection[int], hidden: Mapping[int, set[str] | None]) -> dict[int, int]:
        read = self._ledger.count_neighbours("execution", executions, [EventType.INPUT])
        return {e: read[e].get("RawFile", 0) - len(hidden.get(e) or ()) for e in executions}

    def _curations(self, **conditions: Any) -> list[Execution]:
        return self._ledger.get_executions(
            type="Curate", context=self._past.context, only=["fingerprint", "fingerprints", "judged"], **conditions
        )

    def _identities(self, contents: Iterable[str]) -> list[str]:
        return [raw_id(self._source, sha) for sha in contents]

    def _names(self, ids: Collection[int]) -> dict[int, tuple[str, str]]:
        """Source and sha256 of those artifacts that are raw files."""
        raw = self._ledger.get_artifacts(type="RawFile", ids=ids, only=())
        parted = {a.id: str(a.external_id).rpartition("/") for a in raw}
        return {id_: (source, sha) for id_, (source, _, sha) in parted.items()}


def _earlier(origins: Iterable[Sequence[str]]) -> dict[str, set[str]]:
    """What lay before at the origins where a content lies now."""
    found: dict[str, set[str]] = {}
    for lay in origins:
        found.setdefault(lay[-1], set()).update(sha for sha in lay if sha != lay[-1])
    return found


def _raw(artifact: Artifact) -> RawFile:
    p = artifact.properties
    size = p["size"]
    assert isinstance(size, int)  # noqa: S101  # the ledger keeps INT properties as int
    return RawFile(
        id=artifact.id,
        source=str(p["source"]),
        sha256=str(p["sha256"]),
        size=size,
        name=str(p["name"]),
        uri=artifact.uri,
        landed_at=datetime.fromisoformat(str(p["landed_at"])),
    )


def verify(prefixes: Iterable[str], files: Collection[RawFile], sources: Collection[str]) -> None:
    """Make sure that each prefix of a sha256 names a raw file of these sources.

    Raises:
        NotFoundError: one does not.
    """
    for prefix in prefixes:
        if not any(f.sha256.startswith(prefix) for f in files):
            if len(sources) == 1:
                (source,) = sources
                raise NotFoundError(f"source '{source}' has no raw file {prefix}; `lakehouse show {source}` lists them")
            raise NotFoundError(f"none of the sources {', '.join(sources)} has a raw file {prefix}")
