"""An export's folder: files that come into it whole, once by content, and manifests last.

``data/<subject>/<dataset>/<sha256>.parquet`` and ``tags/<tag>/manifest.json``; what is half-written lies in
``.incoming`` and is swept by the next export.
"""

from __future__ import annotations

import contextlib
import urllib.parse
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from lakehouse.errors import FormatError, NotFoundError, StorageError
from lakehouse.records import Clock, printable
from lakehouse.storage import hash_file, refused, sync_file, sync_folders
from lakehouse.storage.locks import hold
from lakehouse.tagged import File, Manifest

__all__ = ["Folder", "manifest_path"]

_INCOMING = ".incoming"
_MANIFEST = "manifest.json"
_TAGS = "tags"
_WAIT = 3600.0  # seconds one export waits for another into the same folder


def manifest_path(tag: str) -> str:
    """Where a tag's manifest lies in an export's folder."""
    return f"{_TAGS}/{urllib.parse.quote(tag, safe='')}/{_MANIFEST}"


class Folder:
    """The folder of one or several exports.

    Args:
        path: absolute.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def alone(self, clock: Clock) -> Iterator[None]:
        """Nobody else writes here meanwhile; what a killed export left half-written is gone.

        Raises:
            CommitError: somebody else has been at it for too long.
            StorageError: the disk refused.
        """
        with refused(f"exporting into {self.path}"):
            self.path.mkdir(parents=True, exist_ok=True)
            with hold(self.path / ".lock", f"the folder {self.path}", clock, _WAIT):
                for left in self._incoming().iterdir():
                    left.unlink()
                yield

    def beside(self) -> Path:
        """A new path for a file on its way."""
        return self._incoming() / uuid.uuid4().hex

    def take(self, written: Path, path: str) -> bool:
        """Put a file that was written `beside` in its place, synced; whether the place did not hold it yet."""
        target = self.path / path
        if target.is_file() and hash_file(target) == hash_file(written):
            written.unlink()
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        sync_file(written)
        written.replace(target)
        above = [folder for folder in target.parents if folder.is_relative_to(self.path)]
        sync_folders([*above, self.path.parent], self.path)
        return True

    def whole(self, file: File) -> bool:
        """Whether a file lies here as a manifest says."""
        place = self.path / file.path
        return place.is_file() and place.stat().st_size == file.size and hash_file(place) == file.sha256

    def tags(self) -> list[str]:
        """The tags whose exports lie here."""
        found = sorted(self.path.glob(f"{_TAGS}/*/{_MANIFEST}"))
        return [urllib.parse.unquote(manifest.parent.name) for manifest in found]

    def manifest(self, tag: str) -> tuple[Manifest, bytes]:
        """A tag's manifest, and its bytes.

        Raises:
            NotFoundError: there is none.
            FormatError: it is damaged, or of a newer release.
            StorageError: the disk refused.
        """
        path = self.path / manifest_path(tag)
        try:
            data = path.read_bytes()
            found = Manifest.from_json(data)
        except FileNotFoundError:
            raise NotFoundError(f"{self.path} holds no export of tag '{printable(tag)}'") from None
        except OSError as error:
            raise StorageError(f"reading {path}: {error.strerror or error}") from error
        except ValueError as error:
            raise FormatError(f"{path} cannot be imported: {error}") from None
        if found.tag != tag:
            raise FormatError(f"{path} cannot be imported: it is of tag '{printable(found.tag)}'")
        for file in found.files:
            pure = PurePosixPath(file.path)
            if pure.is_absolute() or ".." in pure.parts:
                raise FormatError(f"{path} cannot be imported: '{printable(file.path)}' is outside of the export")
        return found, data

    def _incoming(self) -> Path:
        incoming = self.path / _INCOMING
        incoming.mkdir(exist_ok=True)
        return incoming
