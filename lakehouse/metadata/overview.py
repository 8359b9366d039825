"""What many records come to, found without reading them: totals, newest versions, what changed at a source.

The database looks up and counts; what is fetched grows with what is asked, not with what is recorded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select

from lakehouse.metadata import tables
from lakehouse.metadata.reading import matching
from lakehouse.metadata.statements import fetch, kept
from lakehouse.records import ExecutionState


@dataclass(frozen=True, slots=True)
class Total:
    """All raw files of a source together.

    Attributes:
        files: how many there are.
        size: their bytes.
        landed_at: when the newest was landed; None where there is none.
    """

    files: int = 0
    size: int = 0
    landed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Origins:
    """Some of a source's origins: those that changed, and those that what lay there involves.

    Attributes:
        upto: the newest landing (its execution) whose sightings are all in; 0 before the first.
        contents: by origin, all contents (sha256) it ever had, oldest first.
        newest: by origin, what lies there now: these origins, and all others where any of these contents lay.
    """

    upto: int
    contents: Mapping[str, list[str]] = field(default_factory=dict)
    newest: Mapping[str, str] = field(default_factory=dict)


def origins(connection: Connection, source: str, *, after: int, also: Collection[str]) -> Origins:
    """The origins that were seen by landings after one, with all that what lies or lay there involves.

    Args:
        connection: the caller's transaction.
        source: the source.
        after: the landing's execution; 0 for all origins.
        also: further contents (sha256) whose origins are wanted.
    """
    s = tables.sighting
    upto = _landed(connection, source)
    query = select(s.c.id, s.c.origin, s.c.sha256).where(s.c.source == source)
    if after == 0:
        contents = _by_origin(matching(connection, query))
        return Origins(upto, contents, {origin: lay[-1] for origin, lay in contents.items()})
    touched = set(connection.scalars(select(s.c.origin).where(s.c.source == source, s.c.execution_id > after)))
    involved = {row.sha256 for row in matching(connection, query, (s.c.origin, touched))} | set(also)
    touched |= _holding(connection, source, involved)
    contents = _by_origin(matching(connection, query, (s.c.origin, touched)))
    involved = {sha256 for lay in contents.values() for sha256 in lay}
    others = _holding(connection, source, involved) - contents.keys()
    beside = _by_origin(matching(connection, query, (s.c.origin, others)))
    return Origins(upto, contents, {origin: lay[-1] for origin, lay in (contents | beside).items()})


def _holding(connection: Connection, source: str, contents: Collection[str]) -> set[str]:
    """The source's origins where these contents ever lay."""
    s = tables.sighting
    # The source is no condition: SQLite would rather look through all of it than for the few contents.
    rows = matching(connection, select(s.c.source, s.c.origin), (s.c.sha256, contents))
    return {row.origin for row in rows if row.source == source}


def _landed(connection: Connection, source: str) -> int:
    """The newest landing that will see nothing more: landings of one source follow one another."""
    s, e = tables.sighting, tables.execution
    newest = int(connection.scalar(select(func.max(s.c.execution_id)).where(s.c.source == source)) or 0)
    state = connection.scalar(select(e.c.last_known_state).where(e.c.id == newest))
    return newest - 1 if state == ExecutionState.RUNNING else newest


def _by_origin(rows: Collection[Row[*tuple[Any, ...]]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: row.id):
        found.setdefault(row.origin, []).append(row.sha256)
    return found


def newest_versions(connection: Connection, datasets: Collection[str]) -> dict[str, int]:
    """The newest version of each of these datasets that has any."""
    c, t, link, p = tables.context, tables.type_, tables.association, tables.execution_property
    newest = (
        select(p.c.int_value)
        .join_from(link, p, link.c.execution_id == p.c.execution_id)
        .where(link.c.context_id == c.c.id, p.c.name == "version", p.c.is_custom_property == 0)
        .order_by(link.c.execution_id.desc())
        .limit(1)
        .correlate(c)
        .scalar_subquery()
    )
    query = (
        select(c.c.name, newest.label("version")).join_from(c, t, c.c.type_id == t.c.id).where(t.c.name == "Dataset")
    )
    rows = matching(connection, query, (c.c.name, datasets))
    return {row.name: row.version for row in rows if row.version is not None}


_NEWEST: Final = kept(
    select(
        func.coalesce(func.max(tables.execution.c.id), 0).label("newest"),
        func.coalesce(func.max(tables.execution.c.last_update_time_since_epoch), 0).label("at"),
    )
)


def newest_change(connection: Connection) -> tuple[int, int]:
    """The newest execution's id, and when one changed last (milliseconds since 1970-01-01 UTC)."""
    row = fetch(connection, _NEWEST, {})[0]
    return int(row.newest), int(row.at)


def totals(connection: Connection, sources: Collection[str]) -> dict[str, Total]:
    """The totals of these sources: what was kept of each, and what came since."""
    c, t = tables.context, tables.type_
    query = select(c.c.id, c.c.name).join_from(c, t, c.c.type_id == t.c.id).where(t.c.name == "Source")
    names = {row.id: row.name for row in matching(connection, query, (c.c.name, sources))}
    found = _totals(connection, names)
    return {name: found[id_][0] if id_ in found else Total() for id_, name in names.items()}


def keep_totals(connection: Connection, contexts: Collection[int]) -> None:
    """Keep the totals of these sources (ids of their contexts), in a write transaction.

    They are no record of their own: `totals` finds the same without them, only later.
    """
    k = tables.total
    rows = [
        {
            "context_id": id_,
            "artifact_id": last,
            "files": total.files,
            "size": total.size,
            "landed_at": None if total.landed_at is None else total.landed_at.isoformat(),
        }
        for id_, (total, last) in _totals(connection, contexts).items()
    ]
    if rows:
        connection.execute(delete(k).where(k.c.context_id.in_([row["context_id"] for row in rows])))
        connection.execute(insert(k), rows)


def forget(connection: Connection) -> None:
    """Let go of what is kept only to be found sooner, in a write transaction: after records were put back.

    All of it can be worked out from the records: totals are counted anew when they are asked for, and a
    dataset's next curation looks at everything and keeps its look (the custom property ``looked``) again.
    """
    connection.execute(delete(tables.total))
    e, t, p = tables.execution, tables.type_, tables.execution_property
    curations = select(e.c.id).join_from(e, t, e.c.type_id == t.c.id).where(t.c.name == "Curate")
    looked = (p.c.name == "looked") & (p.c.is_custom_property == 1)
    connection.execute(delete(p).where(looked, p.c.execution_id.in_(curations)))


def _totals(connection: Connection, contexts: Collection[int]) -> dict[int, tuple[Total, int]]:
    """By context the total, and the newest artifact that is in it."""
    k, link, a, t = tables.total, tables.attribution, tables.artifact, tables.type_
    size, landed = tables.artifact_property.alias(), tables.artifact_property.alias()
    found: dict[int, tuple[Total, int]] = {
        row.context_id: (Total(row.files, row.size, _moment(row.landed_at)), row.artifact_id)
        for row in matching(connection, select(k), (k.c.context_id, contexts))
    }
    c = tables.context
    since = (
        select(
            link.c.context_id,
            func.count().label("files"),
            func.sum(size.c.int_value).label("size"),
            func.max(landed.c.string_value).label("landed_at"),
            func.max(link.c.artifact_id).label("last"),
        )
        .select_from(c)
        .outerjoin(k, k.c.context_id == c.c.id)
        .join(link, (link.c.context_id == c.c.id) & (link.c.artifact_id > func.coalesce(k.c.artifact_id, 0)))
        .join(a, a.c.id == link.c.artifact_id)
        # Of more than a few sources, SQLite would rather begin with all raw files there are.
        .join(t, (t.c.id == func.coalesce(a.c.type_id, 0)) & (t.c.name == "RawFile"))
        .join(size, (size.c.artifact_id == a.c.id) & (size.c.name == "size") & (size.c.is_custom_property == 0))
        .join(landed, (landed.c.artifact_id == a.c.id) & (landed.c.name == "landed_at"))
        .where(landed.c.is_custom_property == 0)
        .group_by(link.c.context_id)
    )
    for row in matching(connection, since, (c.c.id, contexts)):
        before, _ = found.get(row.context_id, (Total(), 0))
        moments = [moment for moment in (before.landed_at, _moment(row.landed_at)) if moment is not None]
        total = Total(before.files + int(row.files), before.size + int(row.size or 0), max(moments, default=None))
        found[row.context_id] = total, row.last
    return found


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
