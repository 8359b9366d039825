"""Records that name others which are not there; no database of ML Metadata's keeps that from happening."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Column, Connection, exists, func, select

from lakehouse.metadata import tables

_LINKS: Final = (
    (tables.event.c.artifact_id, tables.artifact),
    (tables.event.c.execution_id, tables.execution),
    (tables.event_path.c.event_id, tables.event),
    (tables.association.c.context_id, tables.context),
    (tables.association.c.execution_id, tables.execution),
    (tables.attribution.c.context_id, tables.context),
    (tables.attribution.c.artifact_id, tables.artifact),
    (tables.parent_context.c.context_id, tables.context),
    (tables.parent_context.c.parent_context_id, tables.context),
    (tables.artifact_property.c.artifact_id, tables.artifact),
    (tables.execution_property.c.execution_id, tables.execution),
    (tables.context_property.c.context_id, tables.context),
    (tables.artifact.c.type_id, tables.type_),
    (tables.execution.c.type_id, tables.type_),
    (tables.context.c.type_id, tables.type_),
    (tables.type_property.c.type_id, tables.type_),
    (tables.parent_type.c.type_id, tables.type_),
    (tables.parent_type.c.parent_type_id, tables.type_),
    (tables.sighting.c.execution_id, tables.execution),
)


def dangling(connection: Connection) -> Iterator[str]:
    """What is wrong with the links between records, one sentence a kind; nothing in a sound ledger."""
    for column, target in _LINKS:
        alias = target.alias()  # a table may name itself
        query = select(func.count()).select_from(column.table).where(~exists().where(alias.c.id == column))
        if count := connection.scalar(query):
            yield f"{count:,} of its records in {column.table.name} name {_what(column)} that is not there"
    t = tables.type_
    twice = select(t.c.name).where(t.c.version.is_(None)).group_by(t.c.name, t.c.type_kind).having(func.count() > 1)
    for name in connection.scalars(twice):
        yield f"it holds the type {name} more than once"


def _what(column: Column[int]) -> str:
    return column.name.removesuffix("_id").replace("_", " ")
