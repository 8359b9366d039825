"""A tap's output up to the last line that says how far it came; what follows is set aside.

A Singer tap says how far it has come in STATE messages. Output that ends with one can be gone on from without
loss and without doubling. So bytes are held back until a STATE follows them that says something new.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

from lakehouse.errors import SourceError

__all__ = ["Sealing", "further"]

_HELD = 8 << 20  # bytes held back in memory; more of them in a file that has no name
_BLOCK = 1 << 20
_LONGEST = 256 << 20  # bytes of a line, which is looked at as a whole
_RECORD = re.compile(rb'\n\{"type": ?"RECORD", ?"stream": ?("(?:[^"\\\n]|\\.)*")')
_OTHER = re.compile(rb'\n(?!\{"type": ?"RECORD", ?"stream": ?"(?:[^"\\\n]|\\.)*")([^\n]*)')
_MARKERS = "progress_markers"  # what a tap notes beside its bookmarks, and does not go on from


def further(state: Any) -> Any:
    """What a tap goes on from: a STATE's value without what is empty or is a note only; None when nothing is left.

    Taps that cannot be resumed give such a STATE too: it marks no place to go on from.
    """
    if isinstance(state, dict):
        kept = {key: further(value) for key, value in state.items() if key != _MARKERS}
        return {key: value for key, value in kept.items() if value is not None} or None
    if isinstance(state, list):
        return [further(value) for value in state] if any(further(value) is not None for value in state) else None
    return None if state == "" else state


class Sealing:
    """Gives a tap's output on, up to its last seal.

    Args:
        start: what the tap went on from, as `further` gives it.

    Attributes:
        state: the value of the last STATE given on that says how far the tap came, as it came; None before any.
        records: how many records of each stream were given on.
        aside: how many are held back.
        wrote: whether anything came at all.
        messages: whether any Singer message did.
    """

    def __init__(self, start: Any) -> None:
        self.state: Any = None
        self.records: Counter[str] = Counter()
        self.aside: Counter[str] = Counter()
        self.wrote = self.messages = False
        self._last = start
        self._held = tempfile.SpooledTemporaryFile(_HELD)  # noqa: SIM115  # closed by `close`
        self._old: tuple[Any, int, Counter[str]] | None = None
        """The last STATE among what is held that says nothing new: its value, where it ends, the records before it."""
        self._line: list[bytes] = []  # the beginning of a line that has not ended
        self._length = 0

    def close(self) -> None:
        """Let go of what is held back."""
        self._held.close()

    def take(self, piece: bytes) -> Iterator[bytes]:
        """Take output in; gives what a new STATE sealed.

        Raises:
            SourceError: a line has no end.
        """
        self.wrote = True
        end = piece.rfind(b"\n") + 1
        if end:
            whole = b"".join((*self._line, piece[:end]))
            self._line, self._length = [], 0
            yield from self._lines(whole)
        if end < len(piece):
            self._line.append(piece[end:])
            self._length += len(piece) - end
        if self._length > _LONGEST:
            raise SourceError(f"the tap wrote a line of more than {_LONGEST >> 20} MiB")

    def whole(self) -> Iterator[bytes]:
        """The tap ended well, so its last line is whole, newline or not; gives what that sealed."""
        if self._line:
            lines, self._line, self._length = b"".join(self._line), [], 0
            yield from self._lines(lines)

    def end(self) -> Iterator[bytes]:
        """The tap says that this was all; gives what still is to be kept.

        Where no STATE said anything new, all of it: what a tap gives from one and the same start takes the place
        of what it gave before.
        """
        if self.state is None:
            yield from self._release(self._held.tell(), Counter(self.aside))
        elif self._old is not None:
            self.state = self._old[0]
            yield from self._release(*self._old[1:])

    def _lines(self, lines: bytes) -> Iterator[bytes]:
        """Look through whole lines; give them, and what is held, on up to the last new STATE."""
        shown = b"\n" + lines.removesuffix(b"\n")
        at = 0  # of lines, how far they are counted and held
        for other in _OTHER.finditer(shown):
            message = _message(other[1])
            kind = message.get("type")
            self.messages |= isinstance(kind, str)
            if kind == "RECORD" and isinstance(message.get("stream"), str):
                self.aside[_printed(message["stream"])] += 1
            if kind != "STATE" or "value" not in message:
                continue
            stop = min(other.end(), len(lines))
            self._hold(lines[at:stop], shown[at : other.start()])
            at = stop
            value, records = message["value"], Counter(self.aside)
            now = further(value)
            if now is not None and now != self._last:
                self._last, self.state = now, value
                yield from self._release(self._held.tell(), records)
            elif now is not None:
                self._old = value, self._held.tell(), records
        self._hold(lines[at:], shown[at:])

    def _hold(self, lines: bytes, shown: bytes) -> None:
        heads = Counter(_RECORD.findall(shown))
        self.messages |= bool(heads)
        for name, count in heads.items():
            self.aside[_stream(name)] += count
        try:
            self._held.write(lines)
        except OSError as error:
            where = tempfile.gettempdir()
            raise SourceError(
                f"what the tap wrote since its last STATE cannot be held back in '{where}': {error.strerror}; "
                "free space there, or name another folder with TMPDIR"
            ) from error

    def _release(self, end: int, records: Counter[str]) -> Iterator[bytes]:
        """Give what is held on up to a place; the rest stays held."""
        held, left = self._held, end
        held.seek(0)
        while left:
            block = held.read(min(_BLOCK, left))
            left -= len(block)
            yield block
        self._held = tempfile.SpooledTemporaryFile(_HELD)  # noqa: SIM115  # closed by `close`
        while block := held.read(_BLOCK):
            self._held.write(block)
        held.close()
        self.records += records
        self.aside -= records
        self._old = None


def _stream(name: bytes) -> str:
    """A stream's name as JSON writes it; where that is no JSON, as it stands."""
    try:
        return _printed(json.loads(name))
    except ValueError:
        return name[1:-1].decode("utf-8", "backslashreplace")


def _printed(name: str) -> str:
    """A name as text that any database holds: JSON can write halves of characters."""
    return name.encode("utf-8", "backslashreplace").decode()


def _message(line: bytes) -> dict[str, Any]:
    """A line as a Singer message; {} for anything else."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
