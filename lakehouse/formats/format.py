"""What every format does: the base class, and the values that go in and out of it."""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple, Self

import polars as pl
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lakehouse.units import Size

__all__ = ["BROKEN", "Careful", "Count", "Format", "Located", "Prepared", "Raw", "left_out", "name_problem"]

BROKEN: dict[str, pl.DataType] = {
    "_raw": pl.String(),
    "_row": pl.Int64(),
    "_text": pl.String(),
    "_reason": pl.String(),
}
"""The columns of a frame of broken records. ``_text`` is the record as it stands (undecodable bytes
shown as ``\\xNN``), ``_reason`` starts with ``row: ``."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A landed file to be read.

    Attributes:
        sha256: its content's hash, the value of ``_raw``.
        name: what to call it in messages (safe to print).
        path: the local file.
    """

    sha256: str
    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Prepared:
    """A raw file made ready to scan: decompressed and in UTF-8.

    Attributes:
        raw: the landed file it came from.
        path: the file to scan: the raw file itself where nothing had to be done.
        columns: names in the file's order; () for a file that holds no record at all.
        rows: number of records where that is known beforehand, else None.
        told: what a person should know of how it is read; "" where that is plain.
        keys: the columns that together name a record, where the file itself says so.
    """

    raw: Raw
    path: Path
    columns: tuple[str, ...]
    rows: int | None = None
    told: str = field(default="", kw_only=True)
    keys: tuple[str, ...] = field(default=(), kw_only=True)


class Count(NamedTuple):
    """What a scan counted of one file: records, and records flagged ``_suspect``."""

    rows: int
    suspects: int


@dataclass(frozen=True, slots=True)
class Careful:
    """One file read with care.

    Attributes:
        frame: the whole records: the file's columns, ``_raw``, ``_row``.
        broken: the others, with the columns of `BROKEN`.
    """

    frame: pl.LazyFrame
    broken: pl.LazyFrame


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class Located(NamedTuple):
    """Where a record stands in its raw file and its text.

    Attributes:
        line: 1-based, in the archive's member where it is in one; None without lines.
        text: the record as it stands, or as JSON.
        member: the archive's member it is in, safe to print; "" outside of archives.
    """

    line: int | None
    text: str
    member: str = ""


def left_out(default: object) -> Callable[[object], bool]:
    """For ``exclude_if``: a key that came after 0.4 is not written out at its default, so that hashes stay."""
    return lambda value: value == default


class Format(BaseModel, abc.ABC):
    """The base of every format."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    own_zip: ClassVar[bool] = False
    """Whether its files are zip files themselves, so that ``compression: auto`` leaves them as they are."""

    type: str
    compression: Literal["auto", "none", "gzip", "zstd", "bz2", "xz", "lz4", "zip"] = "auto"
    null_values: tuple[str, ...] = Field((), description="texts that mean 'missing'; applied with the schema, not here")
    unpack: Literal["zip", "tar"] | None = Field(
        None, description="its files are archives; their members are read", exclude_if=left_out(None)
    )
    members: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        (), description="names or globs of the archive's members that are read; without it all", exclude_if=left_out(())
    )
    max_members: int = Field(10_000, ge=1, description="more in an archive are refused", exclude_if=left_out(10_000))
    max_unpacked: Size | None = Field(
        None, gt=0, description="bytes a file may have when it is unpacked", exclude_if=left_out(None)
    )

    @model_validator(mode="after")
    def _members_are_of_archives(self) -> Self:
        if self.members and self.unpack is None:
            raise ValueError("members: only archives have them; say 'unpack: zip' or 'unpack: tar'")
        if "" in self.members:
            raise ValueError("members: a name is empty")
        return self

    @abc.abstractmethod
    def prepare(self, raw: Raw, work: Path) -> Prepared:
        """Look at the file, decompress and decode it into ``work`` where needed, in bounded memory.

        Raises:
            FormatError: the file is not of this format, or cut short, or damaged as a whole.
        """

    @abc.abstractmethod
    def scan(self, files: Sequence[Prepared]) -> pl.LazyFrame:
        """One lazy scan over files with the same columns, in their order.

        Returns:
            Those columns (String for text formats), ``_raw`` (String), ``_row`` (Int64, 1-based
            number of the record in its file), ``_suspect`` (Boolean: the scan cannot tell whether
            the record is whole). Collecting it raises a polars error where a file is damaged.
        """

    def groups(self, files: Sequence[Prepared]) -> list[list[Prepared]]:
        """Split files into scans that can tell their files apart; each group has one set of columns.

        A caller scans group by group. Files without any record are left out.
        """
        found: dict[Hashable, list[Prepared]] = {}
        for file in files:
            if file.columns:
                found.setdefault(self._together(file), []).append(file)
        return list(found.values())

    def _together(self, file: Prepared) -> Hashable:
        """Files of equal value may share a scan."""
        return file.columns

    @abc.abstractmethod
    def doubtful(self, files: Sequence[Prepared], counts: Mapping[str, Count]) -> Sequence[Prepared]:
        """Those files whose scan, by its counts (sha256 to count), cannot be trusted."""

    @abc.abstractmethod
    def careful(self, file: Prepared, work: Path) -> Careful:
        """Read one file that `scan` failed on or `doubtful` named, in bounded memory.

        Raises:
            FormatError: not even its records can be told apart.
        """

    @abc.abstractmethod
    def locate(self, raw: Raw, row: int, work: Path) -> Located:
        """Find record ``row`` in the raw file.

        Raises:
            NotFoundError: the file has fewer records.
        """


def name_problem(names: Sequence[str]) -> str:
    """What is wrong with a file's column names; empty when nothing is."""
    if own := sorted({"_raw", "_row", "_suspect"}.intersection(names)):
        return f"'{own[0]}' is a name the lake keeps for its own columns"
    if "" in names:
        return f"column {names.index('') + 1} has no name"
    if pattern := [name for name in names if name == "*" or (name.startswith("^") and name.endswith("$"))]:
        return f"a column is called '{pattern[0]}', which polars takes for a pattern of names"
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    return "" if not twice else "columns of the same name: " + ", ".join(f"'{name}'" for name in twice)
