"""TOML: the tables of an array are the records, or the whole document is one."""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from lakehouse.formats.converted import Conversion, Converted
from lakehouse.formats.format import Raw
from lakehouse.formats.structured import LARGEST, Written, as_text, columns, records, whole
from lakehouse.formats.unpacking import refuse

__all__ = ["TomlFormat"]


class TomlFormat(Converted):
    """TOML files of at most 64 MiB, which are held in memory."""

    type: Literal["toml"] = "toml"
    records: str | None = Field(None, description="where the array of tables stands: keys joined by dots")

    def convert(self, raw: Raw, path: Path, into: Conversion, work: Path) -> None:  # noqa: ARG002 - as the base's
        """Read the whole document."""
        with path.open("rb") as stream:
            text = whole(raw, stream.read(LARGEST + 1))
        try:
            document = _plain(tomllib.loads(text, parse_float=Written))
        except ValueError as error:  # of TOML, or a number of more than 4,300 digits
            raise refuse(raw, f"not TOML: {error}", "correct the file; it is read again when it changes") from error
        except RecursionError as error:
            raise refuse(raw, "nested too deeply", "write it flatter") from error
        if not document:
            return
        for record in records(raw, document, tuple(self.records.split(".")) if self.records else ()):
            if isinstance(record, dict):
                values = columns(record)
                into.text(values, sum(len(value or "") for value in values.values()))
            else:
                into.broken(as_text(record), "row: not a table")


def _plain(value: Any) -> Any:
    """Numbers and truths as they would be written, moments as ISO 8601 text."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool):
        return Written(str(value).lower())
    if isinstance(value, int):
        return Written(value)
    if isinstance(value, Written):
        number = value.replace("_", "").removeprefix("+")
        return number if number.strip("-") in {"inf", "nan"} else Written(number)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    return value
