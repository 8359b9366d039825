"""ORC: its own types are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pyarrow as pa

from lakehouse.formats.arrow_types import UnknownTypeError, empty, frames
from lakehouse.formats.converted import Conversion, Converted
from lakehouse.formats.format import Raw
from lakehouse.formats.unpacking import Bound, refuse

__all__ = ["OrcFormat"]

_REPLACE = "replace the file; it is read again when it changes"


class OrcFormat(Converted):
    """ORC files, a stripe at a time: the largest stripe must fit into memory."""

    type: Literal["orc"] = "orc"

    def convert(self, raw: Raw, path: Path, into: Conversion, work: Path) -> None:  # noqa: ARG002 - as the base's
        """Copy the stripes."""
        from pyarrow import orc  # noqa: PLC0415  # costs every start of the program otherwise

        with path.open("rb") as stream:
            head = stream.read(3)
        if head != b"ORC":
            raise refuse(raw, "not ORC (it does not begin with ORC)", "correct its source or its format")
        try:
            file = orc.ORCFile(str(path))
            into.header(empty(file.schema).schema)
            # A stripe is read at once and says nothing of its size, but so many rows take so much at least.
            Bound(raw, self.max_unpacked, path).add(file.nrows * sum(_width(field.type) for field in file.schema))
            for number in range(file.nstripes):
                for frame in frames(file.read_stripe(number)):
                    into.frame(frame)
            rows = file.nrows
        except UnknownTypeError as error:
            raise refuse(raw, str(error), "write it as another type") from error
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            what = str(error).splitlines()[0][:200]
            if "out of range" in what:
                raise refuse(raw, what, "the reader's timestamps lie between 1677 and 2262") from error
            raise refuse(raw, f"damaged ORC ({what})", _REPLACE) from error
        if rows != into.rows:
            raise refuse(raw, f"damaged ORC: {into.rows} rows, its footer says {rows}", _REPLACE)


def _width(kind: pa.DataType) -> int:
    """Bytes that a value takes in memory, at least."""
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:  # texts and lists, which have an offset each
        return 4
