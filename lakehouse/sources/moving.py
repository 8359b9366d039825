"""Files that are landed, moved into a folder: never over another file, never one that is not the one landed."""

# paths that may not be UTF-8, as in files

from __future__ import annotations

import contextlib
import errno
import filecmp
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lakehouse.records import printable

__all__ = ["Aside", "same"]

_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK)


def same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two looks at a path saw the same file, unchanged."""
    return (one.st_size, one.st_mtime_ns, one.st_ino) == (other.st_size, other.st_mtime_ns, other.st_ino)


@dataclass(frozen=True, slots=True)
class Aside:
    """The folder that files are moved to.

    Attributes:
        folder: it.
        top: where the files' own sub-paths begin.
    """

    folder: str
    top: str

    def move(self, path: str, landed: os.stat_result) -> str:
        """Move a file that is landed; leave it where it lies when it is another one by now.

        A crash half-way leaves the file in both places; moving it again removes it from the first.

        Args:
            path: the file; a link is left where it lies.
            landed: what was seen of it when it was landed.

        Returns:
            What was done; "" where the file is gone or another one.

        Raises:
            OSError: it could not be moved.
        """
        source = Path(path)
        if source.is_symlink():  # what it leads to may be needed elsewhere, and a relative link would lead nowhere
            return ""
        wanted = Path(self.folder, os.path.relpath(path, self.top))
        wanted.parent.mkdir(parents=True, exist_ok=True)
        for target in _names(wanted):
            try:
                if not same(landed, source.stat()):
                    return ""
                _second_name(source, target)
                made = True
            except FileNotFoundError:
                return ""
            except FileExistsError:
                if not (target.is_file() and filecmp.cmp(source, target, shallow=False)):
                    continue
                made = False  # from before a crash, or it came again
            if not same(landed, source.stat()):  # another took its place meanwhile
                if made:
                    target.unlink()
                return ""
            _sync(target.parent)
            source.unlink()
            _sync(source.parent)
            return f"moved to '{printable(os.fspath(target))}'"
        return ""


def _names(wanted: Path) -> Iterator[Path]:
    """Names to try: the file's own, then with a number before its ending."""
    yield wanted
    for number in range(1, 100_000):
        yield wanted.with_name(f"{wanted.stem}.{number}{wanted.suffix}")


def _second_name(source: Path, target: Path) -> None:
    """Give a file a name in another folder as well, or on another disk a copy.

    Raises:
        FileExistsError: the name is taken.
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        return
    if target.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target))
    part = target.with_name(f".{target.name}.part")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    try:
        shutil.copy2(source, part)
        _sync(part)
        try:
            os.link(part, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            part.rename(target)  # on a disk without links; another process may not move the same file: it has the lock
    finally:
        part.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
