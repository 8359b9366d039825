"""Arrow: IPC files (Feather 2) and streams; their own types are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pyarrow as pa

from lakehouse.formats.arrow_types import UnknownTypeError, empty, frames
from lakehouse.formats.converted import Conversion, Converted
from lakehouse.formats.format import Raw
from lakehouse.formats.unpacking import refuse

__all__ = ["ArrowFormat"]

_FILE, _FEATHER, _STREAM = b"ARROW1", b"FEA1", b"\xff\xff\xff\xff"
_END = _STREAM + b"\0\0\0\0"
_REPLACE = "replace the file; it is read again when it changes"


class ArrowFormat(Converted):
    """Arrow files, told from streams by their first bytes.

    They are copied a record batch at a time, each validated in full, and never mapped into memory as they lie: a
    damaged one could end the process. The largest record batch must fit into memory.
    """

    type: Literal["arrow"] = "arrow"

    def convert(self, raw: Raw, path: Path, into: Conversion, work: Path) -> None:  # noqa: ARG002 - as the base's
        """Copy the record batches."""
        with path.open("rb") as stream:
            head = stream.read(6)
            stream.seek(max(0, stream.seek(0, 2) - 8))
            tail = stream.read(8)
        if head.startswith(_FEATHER):
            raise refuse(raw, "Feather version 1, which is no Arrow", "write it as Arrow or Feather version 2")
        if not head.startswith((_FILE, _STREAM)):
            raise refuse(raw, "not Arrow (neither a file nor a stream)", "correct its source or its format")
        is_file = head.startswith(_FILE)
        if not tail.endswith(_FILE if is_file else _END):
            raise refuse(raw, "truncated Arrow (its end mark is missing)", _REPLACE)
        try:
            with pa.OSFile(str(path)) as source:
                reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
                into.header(empty(reader.schema).schema)
                batches = (reader.get_batch(n) for n in range(reader.num_record_batches)) if is_file else reader
                for batch in batches:
                    for frame in frames(batch):
                        into.frame(frame)
        except UnknownTypeError as error:
            raise refuse(raw, str(error), "write it as another type") from error
        except (pa.ArrowException, OSError, ValueError) as error:
            raise refuse(raw, f"damaged Arrow ({str(error).splitlines()[0][:200]})", _REPLACE) from error
