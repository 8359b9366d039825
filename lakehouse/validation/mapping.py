"""How one dataset's rows are made from a file's columns. A value, no behaviour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from lakehouse.schema import Schema, converts

__all__ = ["TEXT", "Codes", "Mapping"]

TEXT = "_text:"
"""Prefix of the columns that keep what the file said beside what was made of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """The codes that a feature's column may hold, and what each means.

    Attributes:
        table: where they stand, as messages name it.
        codes: texts (String), each once, none null.
        values: what they mean, of the feature's dtype, none null.
    """

    table: str
    codes: pl.Series
    values: pl.Series


@dataclass(frozen=True, slots=True)
class Mapping:
    """How one dataset's rows are made from a file's columns.

    Attributes:
        schema: the dataset's features.
        null_values: the source format's texts for "missing".
        rename: the file's name to the feature's.
        derive: feature name to SQL expression. One that reads its own feature converts what the file holds, before
            the others see it.
        codes: feature name to the codes that its column holds.
        function: the dataset's own pure function, LazyFrame to LazyFrame.
        partition_by: features the table is partitioned by.
        lenient: whether the text ``12.0`` is taken for the int 12. Reading is faster without; rows
            with such texts are then rejected, and `too_strict` says so.
        environment: the schema's environment the rows belong to; None is all features.
        keys: the features that tell what a row is of, of datasets whose rows are states of something.
        event_time: the feature that says since when.
        delete_when: SQL expression that is true of a row which only says that its key is no more: of such a row
            nothing but keys and event_time must be good.
    """

    schema: Schema
    null_values: tuple[str, ...] = ()
    rename: dict[str, str] = field(default_factory=dict)
    derive: dict[str, str] = field(default_factory=dict)
    function: Callable[[pl.LazyFrame], pl.LazyFrame] | None = None
    partition_by: tuple[str, ...] = ()
    lenient: bool = True
    environment: str | None = None
    keys: tuple[str, ...] = ()
    event_time: str | None = None
    delete_when: str | None = None
    codes: dict[str, Codes] = field(default_factory=dict)

    @property
    def inside(self) -> Schema:
        """The schema of the rows' environment: the features that are required and checked at all."""
        return self.schema.within(self.environment)

    def made(self, name: str) -> bool:
        """Whether a feature is computed rather than read from the file."""
        derived = name in self.derive and not converts(name, self.derive[name])
        return derived or self.schema.features[name].computed

    def columns(self) -> dict[str, str]:
        """Feature to the file's column, for every feature that is read from the file."""
        back = {feature: column for column, feature in self.rename.items()}
        return {name: back.get(name, name) for name in self.schema.features if not self.made(name)}
