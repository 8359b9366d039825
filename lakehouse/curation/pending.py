"""Which raw files a dataset still has to take in, always worked out from the ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from lakehouse import timeline
from lakehouse.errors import NotFoundError
from lakehouse.metadata import Ledger
from lakehouse.records import Artifact, EventType, ExecutionState, RawFile, Sighting
from lakehouse.timeline import Timeline

__all__ = ["Pending", "Rows", "look"]


Rows: TypeAlias = tuple[int, str]
"""The rows an execution made of a raw file: its number, and the file's sha256."""


@dataclass(frozen=True, slots=True)
class Pending:
    """What is to be read, and what is known for deciding which older rows that replaces.

    Attributes:
        files: the raw files to read, in the order of their origins.
        refused: how many files are left out because they were refused under this very configuration.
        visible: the rows that count now.
        foreign: those of them that came from another source, which the dataset had before.
        live: sha256 of what lies at any origin now.
        earlier: sha256 of what lay before at the origins where this content (sha256) lies now.
    """

    files: tuple[RawFile, ...]
    refused: int
    visible: frozenset[Rows]
    foreign: frozenset[Rows]
    live: frozenset[str]
    earlier: dict[str, set[str]]

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
        kept = {execution for execution, _ in self.visible - frozenset(gone)}
        return {e: sorted(found[e]) if e in kept else None for e in sorted(found)}


def look(  # noqa: PLR0913  # the question's parts, by name
    ledger: Ledger,
    source: str,
    past: Timeline,
    *,
    fingerprint: str,
    again: bool = False,
    only: Iterable[str] | None = None,
) -> Pending:
    """Find what a dataset has to read.

    Args:
        ledger: the ledger.
        source: the dataset's source.
        past: the dataset's past.
        fingerprint: of configuration and code now: a file refused under another one is tried again.
        again: take everything again, refused files too.
        only: with ``again``: just the raw files whose sha256 starts with one of these.

    Raises:
        NotFoundError: ``only`` names no raw file of the source.
    """
    raw = {a.id: _raw(a) for a in ledger.get_artifacts(type="RawFile", context=("Source", source))}
    newest, earlier = _origins(ledger.all_sightings(source))
    live = frozenset(newest.values())
    visible, foreign = _visible(ledger, past, raw)
    refused = _refused(ledger, past, raw, fingerprint)
    place: dict[str, str] = {}
    for origin in sorted(newest, reverse=True):
        place[newest[origin]] = origin  # a content's first origin in order
    candidates = sorted((f for f in raw.values() if f.sha256 in live), key=lambda f: place[f.sha256])
    if only is not None:
        candidates = _chosen(candidates, tuple(only), source)
    elif not again:
        here = {sha for _, sha in visible - foreign}
        candidates = [f for f in candidates if f.sha256 not in here]
    left_out = {f.sha256 for f in candidates if f.sha256 in refused and not again}
    return Pending(
        files=tuple(f for f in candidates if f.sha256 not in left_out),
        refused=len(left_out),
        visible=visible,
        foreign=foreign,
        live=live,
        earlier=earlier,
    )


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


def _origins(sightings: Iterable[Sighting]) -> tuple[dict[str, str], dict[str, set[str]]]:
    """What lies at each origin now, and for what lies there what lay there before."""
    ever: dict[str, list[str]] = {}
    for sighting in sightings:
        ever.setdefault(sighting.origin, []).append(sighting.sha256)
    earlier: dict[str, set[str]] = {}
    for contents in ever.values():
        earlier.setdefault(contents[-1], set()).update(c for c in contents if c != contents[-1])
    return {origin: contents[-1] for origin, contents in ever.items()}, earlier


def _visible(ledger: Ledger, past: Timeline, raw: dict[int, RawFile]) -> tuple[frozenset[Rows], frozenset[Rows]]:
    """The rows that count now, and those of them whose raw file is another source's."""
    complete = [e for e in past.executions if e.state is ExecutionState.COMPLETE]
    hidden = past.hidden(past.last) if past.last else {}
    curated = timeline.curated_by(ledger, complete, EventType.INPUT)
    unknown = ledger.get_artifacts(type="RawFile", ids=[i for i in curated if i not in raw])
    names = {**{i: file.sha256 for i, file in raw.items()}, **{a.id: str(a.properties["sha256"]) for a in unknown}}
    visible = {
        (execution, names[artifact]): artifact in raw
        for artifact, executions in curated.items()
        if artifact in names  # else it is the schema
        for execution in executions
        if (gone := hidden.get(execution, set())) is not None and names[artifact] not in gone
    }
    return frozenset(visible), frozenset(rows for rows, own in visible.items() if not own)


def _refused(ledger: Ledger, past: Timeline, raw: dict[int, RawFile], fingerprint: str) -> set[str]:
    same = [e for e in past.executions if e.properties.get("fingerprint") == fingerprint]
    return {raw[a].sha256 for a in timeline.curated_by(ledger, same, EventType.DECLARED_INPUT) if a in raw}


def _chosen(files: list[RawFile], only: tuple[str, ...], source: str) -> list[RawFile]:
    for prefix in only:
        if not any(f.sha256.startswith(prefix) for f in files):
            raise NotFoundError(f"source '{source}' has no raw file {prefix}; `lakehouse show {source}` lists them")
    return [f for f in files if f.sha256.startswith(only)]
