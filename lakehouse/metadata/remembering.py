"""What is remembered between runs: small texts that change only from what they were thought to be.

With a change come the executions that follow from it, in one transaction: all of it, or nothing where somebody else was
faster. So of several processes that come to the same conclusion one acts on it. None of this is a record of what
happened; a ledger that was made again begins without it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, and_, delete, insert, or_, select, update

from lakehouse.metadata import tables
from lakehouse.metadata.kinds import EXECUTION
from lakehouse.metadata.links import insert_memberships
from lakehouse.metadata.nodes import stored_nodes
from lakehouse.metadata.reading import matching
from lakehouse.metadata.statements import kept
from lakehouse.metadata.writing import Put
from lakehouse.records import Context, Execution, ExecutionState

_M: Final = tables.memory
_ALL: Final = kept(select(_M.c.subject, _M.c.name, _M.c.value))


@dataclass(frozen=True, slots=True)
class Change:
    """One text that becomes another.

    Attributes:
        subject: what it is about: ``job/nightly``.
        name: which of the texts about that.
        before: what it is now; None where there is none. If it is something else, nothing is changed.
        after: what it becomes; None takes it away.
    """

    subject: str
    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Queued:
    """An execution that follows from a change.

    Attributes:
        contexts: what it belongs to; the first is made a child of the second.
    """

    execution: Execution
    contexts: tuple[Context, ...]


def remembered(connection: Connection, subjects: Collection[str] | None) -> dict[str, dict[str, str]]:
    """The texts by name, by subject; of these subjects, or of all."""
    found: dict[str, dict[str, str]] = {}
    for row in matching(connection, _ALL, (_M.c.subject, subjects)):
        found.setdefault(row.subject, {})[row.name] = row.value
    return found


def remember(
    connection: Connection, changes: Sequence[Change], queued: Sequence[Queued], now: int
) -> tuple[int, ...] | None:
    """Make the changes and insert the executions; None, and nothing, where a text is not what it was thought to be.

    Args:
        connection: a write transaction that no other's overlaps.
        changes: at most one of each text.
        queued: the executions.
        now: milliseconds since 1970-01-01 UTC, of the new records.
    """
    there = remembered(connection, {change.subject for change in changes})
    if any(there.get(change.subject, {}).get(change.name) != change.before for change in changes):
        return None
    _gone(connection, [change for change in changes if change.after is None and change.before is not None])
    new = [change for change in changes if change.before is None and change.after is not None]
    if new:
        connection.execute(insert(_M), [{"subject": c.subject, "name": c.name, "value": c.after} for c in new])
    for change in changes:
        if None not in (change.before, change.after) and change.before != change.after:
            here = and_(_M.c.subject == change.subject, _M.c.name == change.name)
            connection.execute(update(_M).where(here).values(value=change.after))
    put = Put(connection, now)
    ids = []
    for one in queued:
        number = put.execution(one.execution)
        contexts = put.contexts(one.contexts)
        if len(one.contexts) > 1:
            put.parents([(one.contexts[0], one.contexts[1])])
        insert_memberships(connection, contexts, [number], ())
        ids.append(number)
    return tuple(ids)


def move(connection: Connection, execution: Execution, states: Collection[ExecutionState], now: int) -> bool:
    """Set an execution's state and the given properties, if its state is one of these; whether it was."""
    before = stored_nodes(connection, EXECUTION, [execution.id])
    if execution.id not in before:
        return False
    known: Mapping[str, object] = before[execution.id].columns
    if known["last_known_state"] not in {state.value for state in states}:
        return False
    Put(connection, now).execution(execution)
    return True


def _gone(connection: Connection, changes: Sequence[Change]) -> None:
    for at in range(0, len(changes), 200):
        part = changes[at : at + 200]
        here = or_(*(and_(_M.c.subject == change.subject, _M.c.name == change.name) for change in part))
        connection.execute(delete(_M).where(here))
