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

__all__ = ["Look", "Pending", "Rows", "look", "newest_look"]


Rows: TypeAlias = tuple[int, str]
"""The rows an execution made of a raw file: its number, and the file's sha256."""

_SETTLED = (ExecutionState.COMPLETE, ExecutionState.FAILED)


@dataclass(frozen=True, slots=True)
class Look:
    """What a dataset's curation looked at, kept in its record when all that came of it went through.

    Attributes:
        source: the dataset's source then.
        landing: the source's newest landing (its execution) that it knew in full.
        older: how many files' rows count that were made under another configuration than its own.
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
        return json.dumps({"source": self.source, "landing": self.landing, "older": self.older})


@dataclass(frozen=True, slots=True)
class Pending:
    """What is to be read, and what is known for deciding which older rows that replaces.

    All sets and mappings hold what these files involve, or all there is where everything was looked at.

    Attributes:
        files: the raw files to read, in the order of their origins.
        refused: how many files are left out because they were refused under this very configuration.
        visible: the rows that count now.
        foreign: those of them that came from another source, which the dataset had before.
        live: sha256 of what lies at any origin now.
        earlier: sha256 of what lay before at the origins where this content (sha256) lies now.
        counting: of how many files the rows of each execution in ``visible`` count.
        older: those executions that ran under another configuration than now.
        left: how many files' rows count that such executions made; of all there are.
        seen: what was looked at.
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

    def replaced(self, read: Collection[str], *, anew: bool = False) -> frozenset[Rows]:
        """The rows that no longer count once these contents (sha256) are curated.

        Args:
            read: the contents.
            anew: they take the place of everything: what they go to holds no older row.
        """
        if anew:
            return self.visible
        # What is visible counts as well: bytes that are here already may have come to lie in another file's place.
        here = {*read, *(sha for _, sha in self.visible)}
        old = {sha for new in here for sha in self.earlier.get(new, ()) if sha not in self.live}
        return frozenset(rows for rows in self.visible - self.foreign if rows[1] in old or rows[1] in read)

    def superseded(self, gone: Collection[Rows]) -> dict[int, list[str] | None]:
        """Replaced rows in the ledger's form, `timeline.Superseded`: None where all that count of an execution go."""
        found: dict[int, set[str]] = {}
        for execution, sha in gone:
            found.setdefault(execution, set()).add(sha)
        return {e: sorted(found[e]) if len(found[e]) < self.counting[e] else None for e in sorted(found)}

    def seen_after(self, gone: Collection[Rows]) -> Look:
        """The look to keep with the last batch, when these rows were replaced by all batches together."""
        return dataclasses.replace(self.seen, older=self.left - sum(execution in self.older for execution, _ in gone))


def newest_look(past: Timeline, source: str) -> Look | None:
    """The newest look of a dataset whose batches all went through; None before the first, or at another source."""
    found = past.ledger.get_executions(
        type="Curate",
        context=past.context,
        having="looked",
        newest_first=True,
        limit=1,
        only=["looked", "fingerprint"],
    )
    if not found:
        return None
    execution = found[0]
    kept = Look(
        **json.loads(str(execution.custom_properties["looked"])),
        execution=execution.id,
        fingerprint=str(execution.properties.get("fingerprint", "")),
    )
    return kept if kept.source == source else None


def look(  # noqa: PLR0913  # the question's parts, by name
    ledger: Ledger,
    source: str,
    past: Timeline,
    *,
    fingerprint: str,
    judged: str = "",
    since: Look | None = None,
    again: bool = False,
    only: Iterable[str] | None = None,
) -> Pending:
    """Find what a dataset has to read.

    Args:
        ledger: the ledger.
        source: the dataset's source.
        past: the dataset's past.
        fingerprint: of configuration and code now: a file refused under another one is tried again.
        judged: of what batches are judged by now: a batch refused by its anomalies under another one is tried again.
        since: an earlier look (`newest_look`): what it settled is not looked at again. Changes no answer.
        again: take everything again, refused files too; everything is looked at.
        only: with ``again``: just the raw files whose sha256 starts with one of these.

    Raises:
        NotFoundError: ``only`` names no raw file of the source.
    """
    looking = _Looking(ledger, source, past, (fingerprint, judged), None if again else since)
    refused, tried = looking.refused()
    here = looking.origins(tried)
    contents = {sha for lay in here.contents.values() for sha in lay}
    live = frozenset(here.newest.values())
    visible = looking.visible(contents)
    wanted = contents & live
    if only is not None:
        prefixes = tuple(only)
        wanted = {sha for sha in wanted if sha.startswith(prefixes)}
    elif not again:
        wanted -= {sha for (_, sha), own in visible.items() if own}
    files = looking.files(wanted)
    if only is not None:
        _verify(prefixes, files, source)
    left_out = set() if again else {file.sha256 for file in files} & refused
    place = {sha: origin for origin, sha in sorted(here.newest.items(), reverse=True)}  # a content's first origin
    older = looking.older()
    return Pending(
        files=tuple(sorted((f for f in files if f.sha256 not in left_out), key=lambda f: place[f.sha256])),
        refused=len(left_out),
        visible=frozenset(visible),
        foreign=frozenset(rows for rows, own in visible.items() if not own),
        live=live,
        earlier=_earlier(here.contents.values()),
        counting=looking.counting(visible),
        older=older,
        left=looking.left(visible, older),
        seen=Look(source, here.upto, 0),
    )


class _Looking:
    """One look under way: what it asks the ledger, for all there is or for what came since an earlier look."""

    def __init__(
        self, ledger: Ledger, source: str, past: Timeline, configured: tuple[str, str], since: Look | None
    ) -> None:
        self._ledger = ledger
        self._source = source
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
        same = {e.id for e in made.values() if e.properties.get("fingerprint") == self._fingerprint} - otherwise
        settled = self._since is None or (self._since.fingerprint == self._fingerprint and not otherwise)
        asked = same if settled else made.keys()
        events = self._ledger.get_events(execution_ids=asked, types=[EventType.DECLARED_INPUT])
        names = self._names({event.artifact_id for event in events})
        own = [(e.execution_id, names[e.artifact_id][1]) for e in events if names[e.artifact_id][0] == self._source]
        return {sha for execution, sha in own if execution in same}, {sha for _, sha in own}

    def origins(self, tried: Collection[str]) -> Origins:
        """The origins that changed, and all that this and what was tried involve."""
        return self._ledger.origins(self._source, after=self._since.landing if self._since else 0, also=tried)

    def visible(self, contents: Collection[str]) -> dict[Rows, bool]:
        """The rows of these contents and of the curations since that count now, and whether they are this source's."""
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
            (execution, sha): source == self._source
            for (execution, sha), source in rows.items()
            if (gone := self._hidden.get(execution, set())) is not None and sha not in gone
        }

    def files(self, contents: Collection[str]) -> list[RawFile]:
        """The raw files of these contents."""
        found = self._ledger.get_artifacts(type="RawFile", external_ids=self._identities(contents))
        return [_raw(artifact) for artifact in found]

    def older(self) -> frozenset[int]:
        """Those of the curations met that ran under another configuration."""
        return frozenset(e.id for e in self._made.values() if e.properties.get("fingerprint") != self._fingerprint)

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
        counting = [e.id for e in complete if e.properties.get("fingerprint") != self._fingerprint]
        return sum(self._count([e for e in counting if hidden.get(e, set()) is not None], hidden).values())

    def _count(self, executions: Collection[int], hidden: Mapping[int, set[str] | None]) -> dict[int, int]:
        read = self._ledger.count_neighbours("execution", executions, [EventType.INPUT])
        return {e: read[e].get("RawFile", 0) - len(hidden.get(e) or ()) for e in executions}

    def _curations(self, **conditions: Any) -> list[Execution]:
        return self._ledger.get_executions(
            type="Curate", context=self._past.context, only=["fingerprint", "judged"], **conditions
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


def _verify(prefixes: Iterable[str], files: Collection[RawFile], source: str) -> None:
    for prefix in prefixes:
        if not any(f.sha256.startswith(prefix) for f in files):
            raise NotFoundError(f"source '{source}' has no raw file {prefix}; `lakehouse show {source}` lists them")
