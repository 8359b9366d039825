"""Making bytes survive a power cut on a local disk: what a rename alone does not promise."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import io
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["copy_and_hash", "hash_file", "sync_file", "sync_folders", "sync_written", "write_all"]

_STEP = 16 << 20
_SMALL = 1 << 20
_FEW = 8  # up to so many files are synced one by one; above, the whole file system at once
_KERNEL_WILL_NOT = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
"""What ``copy_file_range`` says between file systems of two kinds, and where it is not there at all."""


def sync_file(path: Path) -> None:
    """Wait until a file's (or folder's) bytes are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_written(paths: Iterable[Path], count: int, within: Path) -> None:
    """Wait until freshly written files, or the folders renames went to, are on the disk.

    Thousands of small files cost one ``syncfs`` in place of one ``fsync`` each.

    Args:
        paths: the files; not looked at where there are many.
        count: how many there are.
        within: a folder of the same file system.
    """
    if count > _FEW and _sync_file_system(within):
        return
    for path in paths:
        sync_file(path)


def sync_folders(folders: Iterable[Path], within: Path) -> None:
    """As `sync_written`, for the folders that hold renamed entries."""
    distinct = sorted(set(folders))
    sync_written(distinct, len(distinct), within)


def _sync_file_system(path: Path) -> bool:
    """Linux ``syncfs``, which Python does not offer; False where there is none.

    Raises:
        OSError: a write-back failed.
    """
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(descriptor)
    return True


def copy_and_hash(file: io.FileIO, target: int) -> tuple[int, str]:
    """Copy an open file into another, hashing what was written while the copy goes on.

    The kernel copies (``copy_file_range``) while a second thread hashes the *target* behind it, so
    that the hash is of the stored bytes whatever happens to the source meanwhile.

    Returns:
        Size in bytes and SHA-256 in hexadecimal.
    """
    size = os.fstat(file.fileno()).st_size
    if size <= _SMALL:
        return _copy_small(file, target)
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_STEP))
    copied = 0

    def follow(start: int, end: int) -> None:
        while start < end:
            got = os.preadv(target, [buffer[: min(end - start, _STEP)]], start)
            digest.update(buffer[:got])
            start += got

    with ThreadPoolExecutor(1) as hasher:
        pending = []
        while step := _copy_step(file.fileno(), target):
            pending.append(hasher.submit(follow, copied, copied + step))
            copied += step
        for done in pending:
            done.result()
    return copied, digest.hexdigest()


def _copy_small(file: io.FileIO, target: int) -> tuple[int, str]:
    data = file.readall()
    write_all(target, data)
    return len(data), hashlib.sha256(data).hexdigest()


def _copy_step(source: int, target: int) -> int:
    """Copy up to one step from and to the current positions; bytes copied, 0 at the end."""
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, target, _STEP)
        except OSError as error:
            if error.errno not in _KERNEL_WILL_NOT:
                raise
    data = os.read(source, _STEP)
    write_all(target, data)
    return len(data)


def write_all(target: int, data: bytes) -> None:
    """Write to an open file until all is written; one call may take less."""
    left = memoryview(data)
    while left:
        left = left[os.write(target, left) :]


def hash_file(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
