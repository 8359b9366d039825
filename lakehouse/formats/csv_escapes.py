"""CSV with an escape character, rewritten as RFC 4180 has it: doubled quotes, and quotes around what needs them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from lakehouse.formats.unpacking import MEBIBYTE

__all__ = ["unescaped"]

_LONGEST = 16 * MEBIBYTE


def unescaped(stream: BinaryIO, delimiter: bytes, quote: bytes, escape: bytes) -> Iterator[bytes]:
    r"""The text without escapes: what follows one is that character itself. Line ends stay where they were.

    A field that is nothing but ``\N`` stays so: databases write a missing value like that. What is broken is passed on
    as it stands, a line at a time, for the reading to find.
    """
    marks = {"D": re.escape(delimiter), "Q": re.escape(quote), "E": re.escape(escape)}
    plain = _pattern(rb"(?:(?:Q[^QE]*+(?:QQ[^QE]*+)*+Q|[^QDE\n]*+)(?:D|\r?\n))++", marks)
    field = _pattern(rb"(Q(?:[^QE]|E.|QQ)*+Q|(?!Q)(?:[^DE\r\n]|E.|\r(?!\n))*+)(D|\r?\n)", marks)
    rest, final = b"", False
    while not final:
        block = stream.read(MEBIBYTE)
        final = not block
        data = rest + block
        if final and data and not data.endswith(b"\n"):
            data += b"\n"
        at, out = 0, list[bytes]()
        while at < len(data):
            run = plain.match(data, at)
            if run is not None:
                out.append(run[0])
                at = run.end()
                continue
            one = field.match(data, at)
            if one is None:
                end = data.find(b"\n", at) + 1
                if not end or not (final or len(data) - at > _LONGEST):
                    break
                out.append(data[at:end])
                at = end
                continue
            out.append(_rewritten(one[1], quote, escape) + one[2])
            at = one.end()
        yield b"".join(out)
        rest = data[at:]
    if rest:
        yield rest


def _rewritten(field: bytes, quote: bytes, escape: bytes) -> bytes:
    if escape not in field or field == escape + b"N":
        return field
    if field.startswith(quote):
        field = field[1:-1].replace(quote * 2, escape + quote)
    value = re.sub(re.escape(escape) + b"(.)", rb"\1", field, flags=re.DOTALL)
    return quote + value.replace(quote, quote * 2) + quote


def _pattern(form: bytes, marks: dict[str, bytes]) -> re.Pattern[bytes]:
    """The expression with the marks in the place of the letters D, Q and E."""
    return re.compile(re.sub(b"[DQE]", lambda letter: marks[letter[0].decode()], form), re.DOTALL)
