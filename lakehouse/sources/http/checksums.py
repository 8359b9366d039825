"""Checksums that are published beside a file: found in what the server gives, and held against the bytes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from lakehouse.sources.http.addresses import checked

__all__ = ["Checksum", "Digest", "Expected", "find"]

_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}  # from the weakest to the strongest
_NAMES = {count: name for name, count in _DIGITS.items()}
_GNU = re.compile(r"(\\?)([0-9a-fA-F]{32,128}) [ *](.+)")
_BSD = re.compile(r"(\\?)(MD5|SHA-?1|SHA(?:2?-)?256|SHA(?:2?-)?512) ?\((.+)\) ?= ?([0-9a-fA-F]+)", re.IGNORECASE)
_ALONE = re.compile(r"[0-9a-fA-F]{32,128}")
_UNESCAPED = {"n": "\n", "r": "\r", "\\": "\\"}


def _hexadecimal(digits: int) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, to_lower=True, pattern=f"^[0-9a-fA-F]{{{digits}}}$")


class Checksum(BaseModel):
    """Where the checksum of a file is told: at an address, or here.

    Attributes:
        url: the address of a checksum file; ``{url}`` in it is the file's own address, and dates are filled in.
        sha256: the checksum itself; also as sha512, sha1 or md5.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str | None = None
    sha256: Annotated[str, _hexadecimal(64)] | None = None
    sha512: Annotated[str, _hexadecimal(128)] | None = None
    sha1: Annotated[str, _hexadecimal(40)] | None = None
    md5: Annotated[str, _hexadecimal(32)] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Checksum:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError(f"needs one of url, {', '.join(reversed(_DIGITS))}")
        return self

    @property
    def known(self) -> Expected | None:
        """The checksum that stands in the configuration."""
        return next((Expected(name, value) for name in _DIGITS if (value := getattr(self, name))), None)

    def address(self, file: str) -> str:
        """Where the checksum of the file at this address is; the url must be set.

        Raises:
            ValueError: nowhere.
        """
        return checked((self.url or "").replace("{url}", file))


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file's bytes must hash to.

    Attributes:
        algorithm: as `hashlib` calls it.
        value: in lower-case hexadecimal digits.
    """

    algorithm: str
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm} {self.value}"


class Digest:
    """The hash of bytes as they pass."""

    def __init__(self, expected: Expected) -> None:
        self.expected = expected
        self._hash = hashlib.new(expected.algorithm, usedforsecurity=False)

    def update(self, chunk: bytes) -> None:
        """Add what comes next."""
        self._hash.update(chunk)

    @property
    def value(self) -> str:
        """The hash of all that passed."""
        return self._hash.hexdigest()


def find(text: str, url: str) -> Expected:
    """What a checksum file says of the file at an address.

    Lines are taken as ``HEX  name``, ``HEX *name``, ``SHA256 (name) = HEX`` or a hash alone, the rest are
    passed over. A file with one hash speaks of this file whatever name it gives; of several the one counts whose
    name fits the end of the address best, and of hashes by several algorithms the strongest.

    Raises:
        ValueError: nothing, or more than one thing.
    """
    entries = [entry for line in text.splitlines() if (entry := _entry(line.strip().lstrip("\ufeff")))]
    if not entries:
        raise ValueError("holds no checksum (md5, sha1, sha256 or sha512)")
    path = unquote(urlsplit(url).path).split("/")
    fits = entries if len({name for name, _ in entries}) == 1 else []
    if not fits:
        ranked = [(_alike(name, path), expected) for name, expected in entries]
        best = max(rank for rank, _ in ranked)
        if best == 0:
            names = ", ".join(repr(name) for name, _ in entries[:5])
            raise ValueError(f"has no line for '{path[-1]}', but for {names}" + (", …" if len(entries) > 5 else ""))
        fits = [("", expected) for rank, expected in ranked if rank == best]
    strongest = max(_DIGITS[expected.algorithm] for _, expected in fits)
    values = {expected for _, expected in fits if _DIGITS[expected.algorithm] == strongest}
    if len(values) > 1:
        raise ValueError(f"has {len(values)} checksums that could be of '{path[-1]}'")
    return values.pop()


def _entry(line: str) -> tuple[str, Expected] | None:
    """The name and checksum on a line; the name "" where the line has none."""
    if match := _BSD.fullmatch(line):
        escaped, kind, name, value = match.groups()
        algorithm = re.sub(r"2?-", "", kind.lower())
        if len(value) != _DIGITS[algorithm]:
            return None
        return _name(name, escaped), Expected(algorithm, value.lower())
    if match := _GNU.fullmatch(line):
        escaped, value, name = match.groups()
    elif _ALONE.fullmatch(line):
        escaped, value, name = "", line, ""
    else:
        return None
    if len(value) not in _NAMES:
        return None
    return _name(name, escaped), Expected(_NAMES[len(value)], value.lower())


def _name(name: str, escaped: str) -> str:
    # As GNU's programs write names with a line break or backslash.
    return re.sub(r"\\([nr\\])", lambda match: _UNESCAPED[match[1]], name) if escaped else name


def _alike(name: str, path: list[str]) -> int:
    """How many parts at their ends a name and a path have in common; 0 when the name goes on where they differ."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if not parts or parts[-1] != path[-1]:
        return 0
    return len(parts) + 1 if path[-len(parts) :] == parts else 1
