"""Addresses of objects and globs of them: ``s3://bucket/in/**/*.csv``."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Glob", "addresses"]

_ADDRESS = re.compile(r"(s3|gs|az)://([A-Za-z0-9$][A-Za-z0-9._-]*)/(.+)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAGIC = re.compile(r"[*?\[]")


def addresses(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check addresses: each names a bucket and a key, all are of one kind.

    Raises:
        ValueError: they do not.
    """
    for address in value:
        match = _ADDRESS.fullmatch(address)
        if match is None:
            raise ValueError(
                "must be s3://bucket/path, gs://bucket/path or az://container/path; /** is all that is below"
            )
        if _CONTROL.search(address):
            raise ValueError("may not hold control characters: keys that do cannot be read")
        if any(part in ("", ".", "..") for part in match[3].split("/")):
            raise ValueError("may not end in '/' or hold the parts '', '.' and '..'; /** is all that is below a folder")
    if len({address.partition(":")[0] for address in value}) > 1:
        raise ValueError("must all be of one kind: s3, gs or az")
    return value


@dataclass(frozen=True)
class Glob:
    """An address: the bucket, the key up to its first magic part, and that part and the rest."""

    kind: str
    bucket: str
    folder: str
    parts: tuple[str, ...]

    @classmethod
    def of(cls, address: str) -> Glob:
        """Take an address apart."""
        match = _ADDRESS.fullmatch(address)
        assert match is not None, "was checked when it was read"  # noqa: S101
        parts = match[3].split("/")
        fixed = next((i for i, part in enumerate(parts) if _MAGIC.search(part)), len(parts))
        return cls(match[1], match[2], "/".join(parts[:fixed]), tuple(parts[fixed:]))

    @property
    def folder_uri(self) -> str:
        """The address of what is listed."""
        return f"{self.kind}://{self.bucket}/{self.folder}".rstrip("/")

    def matches(self, key: str) -> bool:
        """Whether a key of the bucket is meant."""
        if not self.parts:
            return key == self.folder
        below = f"{self.folder}/" if self.folder else ""
        return key.startswith(below) and _fits(key[len(below) :].split("/"), self.parts)


def _fits(names: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a path's names match a glob's parts, as files' do: neither ``*`` nor ``**`` matches hidden names."""
    if not parts or not names:
        return not parts and not names
    if parts[0] == "**":
        deeper = len(names) > 1 and not names[0].startswith(".") and _fits(names[1:], parts)
        return deeper or _fits(names, parts[1:] or ("*",))
    hidden = names[0].startswith(".") and not parts[0].startswith(".")
    return not hidden and _compiled(parts[0]).match(names[0]) is not None and _fits(names[1:], parts[1:])


@lru_cache(maxsize=256)
def _compiled(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part))
