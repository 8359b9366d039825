"""What every online store does, and what it is told and tells."""

from __future__ import annotations

import base64
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

__all__ = ["Found", "Publication", "Store", "Table"]


@dataclass(frozen=True, slots=True)
class Table:
    """One row a key: names and dtypes of the columns that are the key, and of those that are looked up."""

    keys: Mapping[str, pl.DataType]
    columns: Mapping[str, pl.DataType]


@dataclass(frozen=True, slots=True)
class Publication:
    """What a store holds under a name.

    Attributes:
        name: the feature set.
        stamp: differs from that of every other publication of the name.
        tables: one for each combination of keys that its datasets have.
        facts: what whoever published it says of it; JSON.
    """

    name: str
    stamp: str
    tables: tuple[Table, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """All of it as a text."""
        tables = [{"keys": _schema_text(t.keys), "columns": _schema_text(t.columns)} for t in self.tables]
        return json.dumps({"name": self.name, "stamp": self.stamp, "tables": tables, "facts": dict(self.facts)})

    @classmethod
    def from_json(cls, text: str | bytes) -> Publication:
        """The publication of which `to_json` made the text."""
        told = json.loads(text)
        tables = tuple(Table(_schema(t["keys"]), _schema(t["columns"])) for t in told["tables"])
        return cls(told["name"], told["stamp"], tables, told["facts"])


@dataclass(frozen=True, slots=True)
class Found:
    """What a look-up found, all of it of one moment.

    Attributes:
        publication: what was looked in.
        rows: a row a key, in the keys' order: the stored values (`values.decoded` reads them) of the columns of all
            tables, one after the other; None each where a table has no such key.
    """

    publication: Publication
    rows: list[tuple[Any, ...]]


class Store(ABC):
    """A place where publications are looked up. Look-ups may come from several threads at once; writers are one.

    Attributes:
        text: whether it keeps texts alone, so that bytes are written as such.
    """

    text = False

    @abstractmethod
    def publication(self, name: str) -> Publication | None:
        """What the store holds under a name; None for nothing.

        Raises:
            StorageError: the store does not answer.
        """

    @abstractmethod
    def count(self, name: str) -> int:
        """How many keys the store holds under a name.

        Raises:
            StorageError: the store does not answer.
        """

    @abstractmethod
    def replace(self, publication: Publication, rows: Sequence[Iterable[pl.DataFrame]]) -> None:
        """Put a publication in the place of what its name held; all of it becomes visible at once, or nothing.

        Args:
            publication: what it is from then on.
            rows: for each of its tables the rows, in pieces: the key's columns and the others; each key once.

        Raises:
            StorageError: the store refused; it holds what it held.
        """

    @abstractmethod
    def update(self, publication: Publication, rows: Sequence[pl.DataFrame], gone: Sequence[pl.DataFrame]) -> None:
        """Change some keys of what a name holds; all of them at once, or none.

        Args:
            publication: what it is from then on, with tables like those that are there.
            rows: for each table the rows that are new or changed.
            gone: for each table the keys that have no values any more.

        Raises:
            StorageError: the store refused; it holds what it held.
        """

    @abstractmethod
    def look_up(self, name: str, keys: Callable[[Publication], Sequence[Sequence[Sequence[Any]]]]) -> Found | None:
        """The rows of some keys; None where the store holds nothing under the name.

        Args:
            name: of the publication.
            keys: told what is looked up in, gives for each table the keys, as `values.key_codes` writes them; of all
                tables as many.

        Raises:
            StorageError: the store does not answer.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""


def _schema_text(schema: Mapping[str, pl.DataType]) -> str:
    buffer = io.BytesIO()
    pl.DataFrame(schema=dict(schema)).write_ipc(buffer)
    return base64.b64encode(buffer.getvalue()).decode()


def _schema(text: str) -> dict[str, pl.DataType]:
    return dict(pl.read_ipc_schema(io.BytesIO(base64.b64decode(text))))
