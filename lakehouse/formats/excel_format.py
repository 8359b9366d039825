"""Spreadsheets: one sheet of an xlsx, xlsm, xlsb, xls or ods file, every cell as text."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal, cast

import polars as pl
from pydantic import Field, field_validator

from lakehouse.errors import ConfigError, nearest
from lakehouse.formats.converted import Conversion, Converted
from lakehouse.formats.format import Raw
from lakehouse.formats.unpacking import MEBIBYTE, blocks, refuse

__all__ = ["ExcelFormat"]

_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_LARGEST = 512 * MEBIBYTE
"""Bytes that a workbook may have when it is unpacked; its sheet is held in memory."""
_RANGE = re.compile(r"([A-Z]{1,3})([1-9][0-9]*):([A-Z]{1,3})([1-9][0-9]*)")
_MIDNIGHT = " 00:00:00"
_DIGITS = 20
_ODS_TIME = re.compile(r'DurationIso\("PT(\d+)H(\d+)M(\d+)(?:[.,]0*)?S"\)')
_SHOWN = {
    "Div0": "#DIV/0!",
    "NA": "#N/A",
    "Name": "#NAME?",
    "Null": "#NULL!",
    "Num": "#NUM!",
    "Ref": "#REF!",
    "Value": "#VALUE!",
    "GettingData": "#GETTING_DATA",
}


class ExcelFormat(Converted):
    """Spreadsheets. The whole sheet is held in memory: workbooks of more than 512 MiB unpacked are refused.

    A number is the shortest text that gives it again, without thousands or percent signs; a column of days has
    ``2024-01-31``, one with times ``2024-01-31 10:11:12``, one of hours ``30:00:00``; truths are ``true`` and
    ``false``; a formula is what was computed last; an error is its text, ``#DIV/0!``; of merged cells the first has
    the value.
    """

    own_zip: ClassVar[bool] = True

    type: Literal["excel"] = "excel"
    sheet: str | int | None = Field(None, description="its name, or its number from 1; without it the first")
    range: str | None = Field(None, description="the cells, as in A3:F200; the first row is the header")
    header: int = Field(1, ge=1, description="the row of the column names, from 1; not with 'range'")

    @field_validator("range")
    @classmethod
    def _is_a_range(cls, value: str | None) -> str | None:
        if value is not None and not _RANGE.fullmatch(value):
            raise ValueError(f"'{value}' is not a range of cells as in A3:F200")
        return value

    def convert(self, raw: Raw, path: Path, into: Conversion, work: Path) -> None:  # noqa: ARG002 - as the base's
        """Read the sheet."""
        try:
            import fastexcel  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ConfigError("the format 'excel' needs the extra: pip install 'lakehouse[excel]'") from error
        _look(raw, path)
        try:
            book = fastexcel.read_excel(path.read_bytes())
            name, hidden = self._sheet(raw, book.sheet_names, book)
            cells = _cells(book, name)
        except (fastexcel.FastExcelError, pl.exceptions.PanicException, OSError, ValueError) as error:
            what = str(error).splitlines()[0][:200]
            if "password" in str(error).lower() or "encrypt" in str(error).lower():
                raise refuse(raw, "protected by a password", "save it without one") from error
            raise refuse(raw, f"not a spreadsheet ({what})", "correct its source or its format") from error
        into.told = hidden
        self._rows(raw, cells, into)

    def _sheet(self, raw: Raw, names: Sequence[str], book: Any) -> tuple[str, str]:
        """The sheet's name, and what to tell of the choice."""
        if not names:
            raise refuse(raw, "it has no sheet", "replace the file")
        if isinstance(self.sheet, int):
            if not 0 < self.sheet <= len(names):
                raise refuse(raw, f"it has no sheet {self.sheet}, only {len(names)}", "correct 'sheet'")
            return names[self.sheet - 1], ""
        if self.sheet is not None:
            if self.sheet not in names:
                known = ", ".join(f"'{name}'" for name in names)
                what = f"it has no sheet '{self.sheet}' (it has {known})"
                raise refuse(raw, what, f"correct 'sheet'.{nearest(self.sheet, names)}")
            return self.sheet, ""
        seen = [
            name for name in names if book.load_sheet(name, n_rows=1, dtypes="string").visible == "visible"
        ] or names
        if len(names) == 1:
            return names[0], ""
        others = ", ".join(f"'{name}'" for name in names if name != seen[0])
        return seen[0], f"read the sheet '{seen[0]}', not {others}; say which with 'sheet'"

    def _rows(self, raw: Raw, cells: list[pl.Series], into: Conversion) -> None:
        """Cut the table out of the sheet and give its rows."""
        first, last, left, right = self.header, None, 0, len(cells)
        if self.range is not None and (found := _RANGE.fullmatch(self.range)):
            left, right = _column(found[1]), _column(found[3]) + 1
            first, last = int(found[2]), int(found[4])
            if right <= left or last < first:
                raise refuse(raw, f"the range {self.range} holds no cell", "correct 'range'")
        table = [column[first - 1 : last] for column in cells[left:right]]
        named = [column[0] if len(column) else None for column in table]
        kept = [n for n, column in enumerate(table) if (column != "").any()]
        for n in kept:
            if named[n] in {None, ""}:
                what = f"column {_letters(left + n)} has values but no name in row {first}"
                raise refuse(raw, what, "correct 'header' or 'range', or name it")
        names = [str(named[n]) for n in kept]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise refuse(raw, f"columns of the same name: '{twice[0]}'", "rename one, or set 'range'")
        if {"_raw", "_row", "_suspect"}.intersection(names):
            raise refuse(raw, "it has a column with a name the lake keeps for its own", "rename the column")
        into.header(dict.fromkeys(names, pl.String()))
        frame = pl.DataFrame([table[n][1:].alias(name) for name, n in zip(names, kept, strict=True)])
        if names:
            filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series().arg_true()
            frame = frame.head(int(filled[-1]) + 1 if len(filled) else 0)
            into.frame(frame)


def _cells(book: Any, name: str) -> list[pl.Series]:
    """The columns of a sheet as text, from its first row and column on.

    The reader gives a cell as what it is asked for, and nothing where the cell is of another kind. So each is asked
    four times: a number is a truth and no text is, a moment is a span of time and nothing else is.
    """

    def asked(kind: str, columns: list[int] | None = None) -> Any:
        return book.load_sheet(name, dtypes=kind, header_row=None, skip_rows=0, use_columns=columns)

    sheet = asked("string")
    batch, errors = sheet.to_arrow_with_errors()
    others: dict[int, dict[int, str]] = {}
    for one in errors.errors if errors else ():
        row, column = one.offset_position
        others.setdefault(column, {})[row] = _other(one.detail)
    numbers, truths, spans = (asked(kind).to_arrow().columns for kind in ("float", "boolean", "duration"))
    places = [column.absolute_index for column in sheet.available_columns()]
    found = [pl.Series([], dtype=pl.String)] * (places[0] if places else 0)  # columns before the first are left out
    for n, texts in enumerate(batch.columns):
        cells = pl.DataFrame(
            [pl.Series("text", texts, pl.String), *_columns(number=numbers[n], truth=truths[n], span=spans[n])]
        )
        cells = cells.with_columns(text=_NUMBER, span=pl.when(pl.col("text").is_not_null()).then(pl.col("span")))
        text = cells["text"]
        if cells["span"].count():
            _, kinds = asked("float", [places[n]]).to_arrow_with_errors()
            elapsed = [one.offset_position[0] for one in kinds.errors if "datetime_type: TimeDelta" in one.detail]
            text = _moments(cells, elapsed)
        if said := others.get(n):
            text = text.scatter(list(said), list(said.values()))
        found.append(text)
    return found


def _columns(**columns: Any) -> list[pl.Series]:
    return [pl.Series(name, column) for name, column in columns.items()]


_NUMBER = (
    pl.when(
        pl.col("truth").is_not_null()
        & ~pl.col("text").is_in(["true", "false"])
        & (
            (pl.col("text").cast(pl.Float64, strict=False) != pl.col("number"))
            | (pl.col("text").str.len_bytes() > _DIGITS)
        )
    )
    .then(pl.col("number").cast(pl.String))
    .otherwise(pl.col("text"))
)
"""The reader's own text of a number where it gives the number again, else the shortest that does."""


def _moments(cells: pl.DataFrame, elapsed: list[int]) -> pl.Series:
    """A column with moments: days alone without their midnights, times of day without their day 0.

    Args:
        cells: its ``text``, and the ``span`` since day 0 where a cell is a moment.
        elapsed: the rows whose moment is shown as hours that go on beyond 24.
    """
    text, span = pl.col("text"), pl.col("span")
    lasts = pl.int_range(pl.len()).is_in(elapsed)
    clock = span.is_between(pl.duration(), pl.duration(days=1), closed="left") & ~lasts
    day = span.is_not_null() & ~clock & ~lasts
    left = span.dt.total_milliseconds().abs()
    shown = pl.format(
        "{}{}:{}:{}{}",
        pl.when(span < pl.duration()).then(pl.lit("-")).otherwise(pl.lit("")),
        left // 3_600_000,
        (left // 60_000 % 60).cast(pl.String).str.zfill(2),
        (left // 1000 % 60).cast(pl.String).str.zfill(2),
        pl.when(left % 1000 > 0).then("." + (left % 1000).cast(pl.String).str.zfill(3)).otherwise(pl.lit("")),
    )
    days_alone = (text.str.ends_with(_MIDNIGHT) | ~day).all()
    return cells.select(
        pl.when(span.is_not_null() & lasts)
        .then(shown)
        .when(clock)
        .then(text.str.slice(11))
        .when(day & days_alone)
        .then(text.str.slice(0, 10))
        .otherwise(text)
    ).to_series()


def _other(detail: str) -> str:
    """The text of a cell that the reader gives no text for: an error, or a time of an ods file (PT10H11M12S)."""
    if found := _ODS_TIME.search(detail):
        return f"{int(found[1]):02}:{int(found[2]):02}:{found[3].zfill(2)}"
    found = re.search(r"Error\((\w+)\)", detail)
    return _SHOWN.get(found[1], "#ERROR!") if found else "#ERROR!"


def _look(raw: Raw, path: Path) -> None:
    """Refuse what is no workbook, is protected, or would not fit into memory."""
    with path.open("rb") as stream:
        head = stream.read(64 * 1024)
    if path.stat().st_size > _LARGEST:
        raise refuse(raw, f"larger than {_LARGEST >> 20} MiB", "save the sheet as CSV")
    if head.startswith(_OLE):
        with path.open("rb") as stream:
            names = stream.read(4 * MEBIBYTE)
        if "EncryptedPackage".encode("utf-16-le") in names:
            raise refuse(raw, "protected by a password", "save it without one")
        return
    if not head.startswith(_ZIP):
        raise refuse(raw, "not a spreadsheet (neither xlsx, xlsb, ods nor xls)", "correct its source or its format")
    try:
        with zipfile.ZipFile(path) as book:
            members = book.infolist()
            size = sum(member.file_size for member in members)
            if size <= _LARGEST:  # as it says; the reader would believe it and unpack what there is
                size = _counted(book, members)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, RuntimeError) as error:
        raise refuse(raw, "truncated or damaged spreadsheet", "replace it; it is read again when it changes") from error
    if size > _LARGEST:
        raise refuse(raw, f"{size >> 20:,} MiB unpacked, more than {_LARGEST >> 20}", "save the sheet as CSV")


def _counted(book: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo]) -> int:
    """The bytes that come out of the members, counted until they are too many."""
    size = 0
    for member in members:
        member.file_size = _LARGEST + 2 * MEBIBYTE  # else no more would be read than it says
        with book.open(member) as stream:
            for block in blocks(cast("BinaryIO", stream)):
                size += len(block)
                if size > _LARGEST:
                    return size
    return size


def _column(letters: str) -> int:
    """A column's index, from 0."""
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - 64
    return index - 1


def _letters(index: int) -> str:
    index += 1
    found = ""
    while index:
        index, rest = divmod(index - 1, 26)
        found = chr(65 + rest) + found
    return found
