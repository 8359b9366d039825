"""The lake's files: raw bytes stored once by content, read-only, whole or not at all.

Every place is a uri relative to the lake's root (``raw/flights/3f/3f…/flights.csv``), so a lake can be
moved, and a bucket can stand for the root. Local writes go through `durable`, because object-store
clients do not sync a local disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import stat
import urllib.parse
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import obstore
from obstore.store import LocalStore

from lakehouse.errors import NotFoundError, SourceError, StorageError
from lakehouse.faults import point
from lakehouse.records import Clock
from lakehouse.storage import durable
from lakehouse.storage.durable import hash_file, sync_file, sync_folders, sync_written
from lakehouse.storage.locks import hold

__all__ = ["Staged", "Storage", "hash_file", "refused", "safe_name", "sync_file", "sync_folders", "sync_written"]

_INCOMING = PurePosixPath("raw/.incoming")
_MANIFEST = "manifest.json"
_LONGEST_NAME = 200  # bytes; file systems take 255
_WAIT = 3600.0  # seconds one command waits for another on the same source or dataset


@dataclass(frozen=True, slots=True)
class Staged:
    """Bytes that came in whole, but are not yet in their place."""

    folder: Path
    name: str
    sha256: str
    size: int


@contextlib.contextmanager
def refused(what: str) -> Iterator[None]:
    """Turn the operating system's refusals into StorageErrors that say what was being done."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{what}: {error.strerror or error}") from error


def safe_name(name: str) -> str:
    """A file name as it is stored: never a path, printable, at most 200 bytes, its ending kept."""
    base = name.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    base = base.replace("\\", "/").rpartition("/")[2]
    shown = "".join(
        c if c.isprintable() and c != "%" else urllib.parse.quote(c, errors="surrogateescape") for c in base
    )
    if shown.strip(". ") == "" or shown.casefold() == _MANIFEST:
        shown = f"raw-{shown.replace('.', '%2E')}"
    stem, dot, ending = shown.rpartition(".")
    while len(shown.encode()) > _LONGEST_NAME:
        stem, ending = (stem[:-1], ending) if stem else ("", ending[:-1])
        shown = f"{stem}{dot}{ending}"
    return shown


class Storage:
    """The files below one lake's root.

    Args:
        root: the lake's folder; made when something is first written.
        clock: for lock notes.
    """

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root
        self._clock = clock

    def path(self, uri: str) -> Path:
        """The local path of a lake-relative uri.

        Raises:
            StorageError: the uri would leave the lake.
        """
        pure = PurePosixPath(uri)
        if pure.is_absolute() or ".." in pure.parts:
            raise StorageError(f"'{uri}' is outside the lake")
        return self.root / pure

    def stage(self, source: str, name: str, data: Path | Iterator[bytes], size: int | None) -> Staged:
        """Bring bytes in beside the raw zone, hashing them in the same pass.

        Args:
            source: the source's name.
            name: the file's own name.
            data: a local file, or its bytes in pieces.
            size: how many bytes there must be, if that is known.

        Raises:
            SourceError: fewer or more bytes came than were announced, or the local file cannot be opened.
            StorageError: the disk refused (full, read-only).
        """
        folder = self.path(f"{_INCOMING}/{source}/{uuid.uuid4().hex}")
        stored = safe_name(name)
        with refused(f"landing '{stored}' of source '{source}'"):
            _make_folder(folder)
            try:
                got, digest = _bring(data, folder / stored, size)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        point("land.staged")
        return Staged(folder, stored, digest, got)

    def publish(self, source: str, staged: Sequence[tuple[Staged, Mapping[str, Any]]]) -> list[str]:
        """Put staged files, each with its manifest, in their places: synced, read-only, whole at once.

        Args:
            source: the source's name.
            staged: the files and what their manifests say; ``name`` is what the file is called in its place.

        Returns:
            Each file's lake-relative uri; content that was there already keeps its first name. Where it
            was there once, and its folder is damaged now, the new bytes take the folder's place.

        Raises:
            StorageError: the disk refused; nothing half-written is visible.
        """
        with refused(f"landing in source '{source}'"):
            for file, manifest in staged:
                text = json.dumps(manifest, ensure_ascii=False).encode("utf-8", "backslashreplace")
                _write_new(file.folder / _MANIFEST, text)
                if manifest["name"] != file.name:
                    (file.folder / file.name).rename(file.folder / manifest["name"])
            written = (file.folder / name for file, m in staged for name in (m["name"], _MANIFEST))
            sync_written(written, 2 * len(staged), self.root)
            point("land.synced")
            zone = self.path(f"raw/{source}")
            shards = {file.sha256[:2]: zone / file.sha256[:2] for file, _ in staged}
            for shard in shards.values():
                shard.mkdir(parents=True, exist_ok=True)
            uris = []
            for file, manifest in staged:
                name = _rename_new(file, manifest["name"], shards[file.sha256[:2]] / file.sha256)
                uris.append(f"raw/{source}/{file.sha256[:2]}/{file.sha256}/{name}")
                point("land.renamed")
            sync_folders([zone, *shards.values()], self.root)
        return uris

    def write(self, uri: str, data: bytes) -> None:
        """Write a small file, whole or not at all, and wait until it is on the disk; takes an older one's place.

        Raises:
            StorageError: the disk refused.
        """
        path = self.path(uri)
        beside = path.with_name(f".{path.name}.part")
        with refused(f"writing '{uri}'"):
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.unlink(missing_ok=True)
            _write_new(beside, data)
            sync_file(beside)
            beside.replace(path)
            sync_file(path.parent)

    def write_folder(self, uri: str, files: Mapping[str, bytes]) -> None:
        """Write a new folder of small files, and wait until all of it is on the disk.

        A crash may leave part of it: for what nobody looks at before something else says that it is there.

        Raises:
            StorageError: the disk refused.
        """
        folder = self.path(uri)
        with refused(f"writing '{uri}'"):
            shutil.rmtree(folder, ignore_errors=True)  # what a number's earlier holder left
            known = next(parent for parent in folder.parents if parent.is_dir())
            folder.mkdir(parents=True)
            for name, data in files.items():
                _write_new(folder / name, data)
                sync_file(folder / name)
            made = [folder, *folder.parents]
            sync_folders(made[: made.index(known) + 1], self.root)

    def discard_incoming(self, source: str) -> int:
        """Remove what a killed landing left half-written; only call while holding the source's lock."""
        folder = self.path(f"{_INCOMING}/{source}")
        with refused(f"sweeping {folder}"):
            left = list(folder.iterdir()) if folder.exists() else []
            shutil.rmtree(folder, ignore_errors=False) if left else None
        return len(left)

    def digest(self, uri: str) -> str:
        """SHA-256 of stored bytes, read again.

        Raises:
            NotFoundError: they are gone.
            StorageError: they cannot be read.
        """
        digest = hashlib.sha256()
        try:
            for chunk in obstore.get(LocalStore(self.root), uri).stream(min_chunk_size=8 << 20):
                digest.update(chunk)
        except FileNotFoundError:
            raise NotFoundError(f"'{uri}' is gone from the lake") from None
        except obstore.exceptions.BaseError as error:
            raise StorageError(f"reading '{uri}': {str(error).splitlines()[0]}") from error
        return digest.hexdigest()

    def in_use(self) -> bool:
        """Whether anything was ever landed, curated or recorded here.

        Raises:
            StorageError: the lake's folder cannot be read.
        """
        with refused(f"looking into {self.root}"):
            zones = map(self.path, ("raw", "curated", "receipts"))
            return any(next(zone.iterdir(), None) for zone in zones if zone.is_dir())

    @contextlib.contextmanager
    def work(self, name: str) -> Iterator[Path]:
        """A folder for files on their way, on the lake's own disk; emptied before and after."""
        folder = self.path(f".work/{name}")
        with refused(f"preparing {folder}"):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def locks(self) -> list[tuple[str, str]]:
        """The kind and name of every lock that is held, or was and has been kept."""
        return [(file.parent.name, urllib.parse.unquote(file.name)) for file in sorted(self.path(".locks").glob("*/*"))]

    def lock(
        self, kind: str, name: str, *, wait: float = _WAIT, keep: bool = True
    ) -> contextlib.AbstractContextManager[None]:
        """One process at a time on a job, source or dataset. Without ``keep`` the lock is used once and removed.

        Raises:
            CommitError: after ``wait`` seconds, naming the holder.
            StorageError: the disk refused.
        """
        file = self.path(f".locks/{kind}/{urllib.parse.quote(name, safe='')}")
        return hold(file, f"{kind} '{name}'", self._clock, wait, keep=keep)


def _make_folder(folder: Path) -> None:
    """Make a folder whose parent is there but for the first time: half the cost of looking first."""
    try:
        folder.mkdir()
    except FileNotFoundError:
        folder.mkdir(parents=True)


def _bring(data: Path | Iterator[bytes], path: Path, size: int | None) -> tuple[int, str]:
    """Write a new, read-only file of the announced size; its size and SHA-256."""
    target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o444)
    try:
        if isinstance(data, Path):
            with _opened(data, path.name) as file:
                got, digest = durable.copy_and_hash(file, target)
        else:
            got, digest = _write(data, target)
    finally:
        os.close(target)
    if size is not None and got > size:
        what = f"'{path.name}' gave {got:,} bytes where {size:,} were announced"
        raise SourceError(f"{what}: is it still being written?", retryable=True)
    if size is not None and got != size:
        raise SourceError(f"'{path.name}' was cut short: {got:,} of {size:,} bytes came", retryable=True)
    return got, digest


def _opened(path: Path, name: str) -> io.FileIO:
    """A regular file, opened to be read; a pipe that lies in its place by now is not waited for.

    Raises:
        SourceError: it is gone, cannot be read, or is no regular file.
    """
    try:
        file = io.FileIO(path, opener=lambda p, flags: os.open(p, flags | getattr(os, "O_NONBLOCK", 0)))
    except OSError as error:
        raise SourceError(f"'{name}' cannot be read: {error.strerror}", retryable=True) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise SourceError(f"'{name}' is not a regular file", retryable=True)
    return file


def _write(data: Iterator[bytes], target: int) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    for chunk in data:
        durable.write_all(target, chunk)
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def _write_new(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
    try:
        durable.write_all(descriptor, data)
    finally:
        os.close(descriptor)


def _rename_new(file: Staged, name: str, target: Path) -> str:
    """Move a staged folder to its place, unless the same content lies there; the name it has there."""
    try:
        file.folder.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        there = _stored_names(target, file.size)
        if there:
            shutil.rmtree(file.folder)
            return name if name in there else there[0]
        # A kill between the renames leaves both folders among the incoming ones: the content is then landed anew.
        damaged = file.folder.with_name(f"{file.folder.name}.damaged")
        target.rename(damaged)
        file.folder.rename(target)
        shutil.rmtree(damaged)
    return name


def _stored_names(folder: Path, size: int) -> list[str]:
    """Names of the files of this size in a raw file's folder; none when its manifest is gone."""
    sizes = {entry.name: entry.stat().st_size for entry in os.scandir(folder) if entry.is_file()}
    return (
        sorted(name for name, found in sizes.items() if name != _MANIFEST and found == size)
        if sizes.get(_MANIFEST)
        else []
    )
