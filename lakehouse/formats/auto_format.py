"""A format that looks at each file, and reads it as what its name and its bytes say it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, cast

import polars as pl
from pydantic import ValidationError

from lakehouse.errors import FormatError
from lakehouse.formats.format import Careful, Count, Format, Located, Prepared, Raw
from lakehouse.formats.sniffing import ENDINGS, sniff
from lakehouse.formats.unpacking import MEBIBYTE, refuse

__all__ = ["AutoFormat"]

_LOOKED_AT = 64 * MEBIBYTE
"""So much of a text is read to learn its encoding."""


@dataclass(frozen=True, slots=True)
class GuessedFile(Prepared):
    """A file made ready by the format that it was found to be in.

    Attributes:
        reader: that format.
        file: what it made of the file.
    """

    reader: Format = field(kw_only=True)
    file: Prepared = field(kw_only=True)


class AutoFormat(Format):
    """Guesses each file's format by its own name and bytes alone: the same file is always read the same way."""

    own_zip: ClassVar[bool] = True  # a workbook is a zip file; the format that is found unpacks the others

    type: Literal["auto"] = "auto"

    def prepare(self, raw: Raw, work: Path) -> Prepared:
        """Guess, and let that format prepare it; tells what was guessed."""
        if not raw.path.stat().st_size:
            return Prepared(raw, raw.path, (), 0)
        reader, told = self._guess(raw)
        file = reader.prepare(raw, work)
        told = f"{told}; {file.told}" if file.told else told
        return GuessedFile(raw, file.path, file.columns, file.rows, reader=reader, file=file, told=told)

    def _guess(self, raw: Raw) -> tuple[Format, str]:
        from lakehouse.formats import FORMATS  # noqa: PLC0415  # which names this very class

        advice = f"name its format; looked for {', '.join(dict.fromkeys(ENDINGS.values()))}"
        try:
            found = sniff(raw.path, _LOOKED_AT, name=raw.name, named=True)
        except FormatError as error:
            raise refuse(raw, f"its format cannot be guessed: {error}", advice) from error
        own = {"null_values": self.null_values, "compression": self.compression, "max_unpacked": self.max_unpacked}
        if found.kind not in FORMATS:
            raise refuse(raw, f"it seems to be {found.kind}, which this lake does not read", advice)
        try:
            return FORMATS[found.kind].model_validate(found.values(found.encoding, **own)), found.told
        except ValidationError as error:
            what = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise refuse(raw, f"it seems to be {found.kind}, which needs more said: {what}", advice) from error

    def groups(self, files: Sequence[Prepared]) -> list[list[Prepared]]:
        """Files of the same format that it would read together."""
        return [
            [_outer(files, one) for one in group]
            for reader, some in _by_reader(files)
            for group in reader.groups([file.file for file in some])
        ]

    def scan(self, files: Sequence[Prepared]) -> pl.LazyFrame:
        """As `Format.scan`, over the files of one of `groups`."""
        scans = [reader.scan([file.file for file in some]) for reader, some in _by_reader(files)]
        return scans[0] if len(scans) == 1 else pl.concat(scans, how="vertical_relaxed")

    def doubtful(self, files: Sequence[Prepared], counts: Mapping[str, Count]) -> Sequence[Prepared]:
        """What their formats doubt."""
        return [
            _outer(files, one)
            for reader, some in _by_reader(files)
            for one in reader.doubtful([file.file for file in some], counts)
        ]

    def careful(self, file: Prepared, work: Path) -> Careful:
        """As its format reads it."""
        guessed = cast("GuessedFile", file)
        return guessed.reader.careful(guessed.file, work)

    def locate(self, raw: Raw, row: int, work: Path) -> Located:
        """As its format finds it."""
        return self._guess(raw)[0].locate(raw, row, work)


def _by_reader(files: Sequence[Prepared]) -> list[tuple[Format, list[GuessedFile]]]:
    """The files that hold a record, by the format they are in."""
    found: dict[str, tuple[Format, list[GuessedFile]]] = {}
    for file in files:
        if isinstance(file, GuessedFile):
            found.setdefault(file.reader.model_dump_json(), (file.reader, []))[1].append(file)
    return list(found.values())


def _outer(files: Sequence[Prepared], inner: Prepared) -> Prepared:
    return next(file for file in files if file.raw.sha256 == inner.raw.sha256)
