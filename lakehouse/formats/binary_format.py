"""Anything at all: one row a file that says what it is. The bytes stay in raw."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePath
from typing import Literal

import polars as pl

from lakehouse.errors import ConfigError
from lakehouse.formats.converted import Conversion, Converted
from lakehouse.formats.format import Raw
from lakehouse.formats.unpacking import blocks

__all__ = ["BinaryFormat"]

_SCHEMA: dict[str, pl.DataType] = {
    "name": pl.String(),
    "extension": pl.String(),
    "media_type": pl.String(),
    "size": pl.Int64(),
    "sha256": pl.String(),
    "width": pl.Int64(),
    "height": pl.Int64(),
}
_UNKNOWN = "application/octet-stream"


class BinaryFormat(Converted):
    """Files of any kind. Nothing is unpacked unless ``compression`` says so: a .gz is itself the thing."""

    type: Literal["binary"] = "binary"
    compression: Literal["auto", "none", "gzip", "zstd", "bz2", "xz", "lz4", "zip"] = "none"

    def convert(self, raw: Raw, path: Path, into: Conversion, work: Path) -> None:  # noqa: ARG002 - as the base's
        """Look at the file."""
        with path.open("rb") as stream:
            digest, size = hashlib.sha256(), 0
            for block in blocks(stream):
                digest.update(block)
                size += len(block)
        media_type = _media_type(path, raw.name, size)
        width, height = _dimensions(path) if media_type.startswith("image/") else (None, None)
        row = {
            "name": raw.name,
            "extension": PurePath(raw.name).suffix.lower().removeprefix(".") or None,
            "media_type": media_type,
            "size": size,
            "sha256": digest.hexdigest(),
            "width": width,
            "height": height,
        }
        into.header(_SCHEMA)
        into.frame(pl.DataFrame([row], schema=_SCHEMA))


def _media_type(path: Path, name: str, size: int) -> str:
    """What a file is by its first bytes; by its name only where these tell nothing."""
    try:
        import puremagic  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise _missing() from error
    if not size:
        return "application/x-empty"
    with path.open("rb") as stream:
        head = stream.read(64 * 1024)
    try:
        found = puremagic.magic_string(head, filename=name)
    except (puremagic.PureError, ValueError):
        return _UNKNOWN
    return next((one.mime_type for one in found if one.mime_type), _UNKNOWN)


def _dimensions(path: Path) -> tuple[int | None, int | None]:
    """Width and height in pixels; none where they cannot be read."""
    try:
        import imagesize  # type: ignore[import-untyped]  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise _missing() from error
    try:
        width, height = imagesize.get(path)
    except Exception:  # noqa: BLE001  # a damaged image can make it raise anything
        return None, None
    return (int(width), int(height)) if width > 0 and height > 0 else (None, None)


def _missing() -> ConfigError:
    return ConfigError("the format 'binary' needs the extra 'media': pip install 'lakehouse[media]'")
