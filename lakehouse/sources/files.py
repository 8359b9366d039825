"""Files on this machine, by path or glob. Never writes to what it reads; moves it away only where that is asked for."""

# os rather than pathlib: it takes half the time over thousands of files.
# ruff: noqa: PTH100, PTH111, PTH114, PTH116, PTH118, PTH119, PTH120, PTH208

from __future__ import annotations

import fnmatch
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from lakehouse.errors import SourceError, nearest
from lakehouse.records import Sighting, printable
from lakehouse.sources import Download, Offer, Seen, Source
from lakehouse.sources.moving import Aside, same
from lakehouse.units import Duration

__all__ = ["FileOffer", "FilesSource", "origin_of", "storable"]

_MAGIC = re.compile(r"[*?\[]")


def storable(path: str) -> str:
    """A path as text any database can hold, no two alike.

    A backslash is doubled, a byte that is not UTF-8 becomes a backslash, ``x`` and two hex digits.
    """
    return path.replace("\\", "\\\\").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def origin_of(path: str, folder: Path) -> str:
    """A file's origin: its path below the project's folder, which may be moved, or else its whole path."""
    inside = os.path.join(os.path.abspath(folder), "")
    return storable(path.removeprefix(inside))


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Patterns = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_as_list)]


class FilesSource(Source):
    """Files and globs.

    In a glob ``*``, ``?`` and ``[...]`` match within one name and ``**`` any depth of folders; neither
    matches hidden names nor enters linked folders below ``**``. Folders, pipes, sockets and devices are
    passed over, and so is what the lake itself stores. Files come in the order of their paths' bytes, or of their
    modification times.

    Attributes:
        path: one path or glob, or a list; relative ones start at the project's folder.
        exclude: globs of names, or of paths below the project's folder, to leave out.
        settle: how long a file must have been unchanged before it counts as whole.
        watch: how long new files are watched, all at once; those that change meanwhile do not count as whole yet.
        order_by: ``path``, or ``modified``, the oldest first.
        move_to: the folder that files are moved to once they are landed, each below it as it lay where the glob
            begins; without it they stay.
    """

    asking: ClassVar = ("path", "exclude")
    watchable: ClassVar = True

    path: Annotated[Patterns, Field(min_length=1)]
    exclude: Patterns = ()
    settle: Duration = timedelta()
    watch: Annotated[Duration, Field(le=timedelta(hours=1))] = timedelta()
    order_by: Literal["path", "modified"] = "path"
    move_to: Annotated[str, Field(min_length=1)] | None = None

    def places(self) -> tuple[str, ...]:
        """The files that are named, and of a glob the folder it starts in."""
        return tuple(dict.fromkeys(Path(self._fixed(pattern)[0]).as_uri() for pattern in self.path))

    def _fixed(self, pattern: str) -> tuple[str, tuple[str, ...]]:
        """A pattern's path up to its first magic part, and that part and the rest."""
        # The project's own path may hold brackets: only the pattern is a glob.
        parts = Path(pattern).parts
        fixed = next((i for i, part in enumerate(parts) if _MAGIC.search(part)), len(parts))
        return os.path.normpath(os.path.join(os.path.abspath(self._folder), *parts[:fixed])), parts[fixed:]

    def offers(self, seen: Seen, now: datetime) -> Iterator[Offer]:
        """The files that match now; see `Source.offers`."""
        found: dict[str, str | None] = {}
        tops: dict[str, str] = {}
        for pattern in self.path:
            top = self._top(pattern)
            for path, problem in self._matches(pattern):
                found.setdefault(os.path.normpath(path), problem)
                tops.setdefault(os.path.normpath(path), top)
        aside = self._aside(found)
        offers = (
            self._offer(path, found[path], seen, now, Aside(aside, tops[path]) if aside else None)
            for path in sorted(found, key=os.fsencode)
            if not self._excluded(path)
        )
        there = (offer for offer in offers if offer is not None)
        if self.watch or self.order_by == "modified":
            yield from self._watched(list(there))
        else:
            yield from there

    def _watched(self, offers: list[FileOffer]) -> list[FileOffer]:
        """The offers in order, those that change while all are watched still settling."""
        if self.order_by == "modified":
            offers.sort(key=lambda offer: offer.status.st_mtime_ns if offer.status else 0)
        fresh = [offer for offer in offers if offer.status and not (offer.unchanged or offer.settling)]
        if self.watch and fresh:
            time.sleep(self.watch.total_seconds())
            for offer in fresh:
                if not offer.the_same():
                    offer.settling = self.watch.total_seconds()
        return offers

    def _top(self, pattern: str) -> str:
        """The folder that a moved file's place is counted from."""
        plain = os.path.join(os.path.abspath(self._folder), pattern)
        return os.path.dirname(plain) if os.path.lexists(plain) else self._fixed(pattern)[0]

    def _aside(self, found: Iterable[str]) -> str | None:
        """The folder files are moved to.

        Raises:
            SourceError: it lies where this source finds files, or in the lake's own folders.
        """
        if self.move_to is None:
            return None
        aside = os.path.normpath(os.path.join(os.path.abspath(self._folder), os.path.expanduser(self.move_to)))
        where = f"move_to: '{printable(storable(self.move_to))}'"
        if any(_inside(aside, str(zone)) for zone in self._zones):
            raise SourceError(f"{where} lies in the lake itself; name another folder")
        for pattern in self.path:
            top, glob = self._fixed(pattern)
            deep = "**" in glob and not any(part.startswith(".") for part in Path(os.path.relpath(aside, top)).parts)
            if aside == top or (deep and _inside(aside, top)):
                raise SourceError(f"{where} lies where '{pattern}' finds files; name another folder")
        if path := next((path for path in found if _inside(path, aside)), None):
            raise SourceError(
                f"{where} holds '{printable(storable(path))}', which this source finds; name another folder"
            )
        return aside

    def _matches(self, pattern: str) -> Iterator[tuple[str, str | None]]:
        """The paths a path or glob names, each with why it cannot be read, or None."""
        plain = os.path.join(os.path.abspath(self._folder), pattern)
        if os.path.lexists(plain) or not _MAGIC.search(pattern):
            _must_be_a_file(plain)
            yield plain, None
            return
        top, glob = self._fixed(pattern)
        yield from _walk(top, glob, frozenset(str(zone) for zone in self._zones))

    def _excluded(self, path: str) -> bool:
        if not self.exclude:
            return False
        below = os.path.relpath(path, os.path.abspath(self._folder))
        name = os.path.basename(path)
        return any(fnmatch.fnmatchcase(name, glob) or fnmatch.fnmatchcase(below, glob) for glob in self.exclude)

    def _offer(
        self, path: str, problem: str | None, seen: Mapping[str, Sighting], now: datetime, aside: Aside | None
    ) -> FileOffer | None:
        origin, name = origin_of(path, self._folder), storable(os.path.basename(path))
        if problem is not None:
            return FileOffer(origin, name, path, problem=problem)
        try:
            status = os.stat(path)
        except OSError as error:
            gone = isinstance(error, FileNotFoundError) and not os.path.lexists(path)
            return None if gone else FileOffer(origin, name, path, problem=_reason(error))
        if not stat.S_ISREG(status.st_mode):
            return None
        last = seen.get(origin)
        unchanged = last is not None and (last.size, last.modified) == (status.st_size, str(status.st_mtime_ns))
        settle = self.settle.total_seconds()
        left = 0.0 if unchanged else min(settle, max(0.0, settle - (now.timestamp() - status.st_mtime)))
        if aside is not None and not os.path.islink(path):
            unchanged = (
                False  # it would be moved away unread, though its bytes may be others with the same size and time
            )
        return FileOffer(origin, name, path, settling=left, unchanged=unchanged, status=status, aside=aside)


@dataclass
class FileOffer(Offer):
    """One file.

    Attributes:
        path: where it lies.
        problem: why it cannot be read; None where that is not known.
        status: what was seen of it.
        aside: where it is moved once it is landed; None where it stays.
    """

    origin: str
    name: str
    path: str
    settling: float = 0.0
    unchanged: bool = False
    problem: str | None = None
    status: os.stat_result | None = None
    aside: Aside | None = None

    @contextmanager
    def open(self) -> Iterator[Download]:
        """Give the file's path, and look again afterwards whether it stayed the same."""
        before = self.status = self._status()
        yield Download(path=Path(self.path), size=before.st_size, modified=str(before.st_mtime_ns))
        if not same(before, self._status()):
            raise SourceError(
                f"{self._shown} is still being written; try again, or set 'settle' to wait for it", retryable=True
            )

    def the_same(self) -> bool:
        """Whether the very file that was looked at lies there still, unchanged."""
        try:
            return self.status is not None and same(self.status, os.stat(self.path))
        except OSError:
            return False

    def landed(self) -> str:
        """Move the file away, where that is asked for and it is still the one that was landed."""
        if self.aside is None or self.status is None:
            return ""
        try:
            return self.aside.move(self.path, self.status)
        except OSError as error:
            raise SourceError(f"{self._shown} is landed, and cannot be moved away: {_reason(error)}") from error

    @cached_property
    def _shown(self) -> str:
        return f"'{printable(self.origin)}'"

    def _status(self) -> os.stat_result:
        if self.problem is not None:
            raise SourceError(f"{self._shown} cannot be read: {self.problem}")
        try:
            # Without O_NONBLOCK a pipe put in the file's place would hang here.
            handle = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise SourceError(f"{self._shown} cannot be read: {_reason(error)}") from error
        try:
            status = os.fstat(handle)
        finally:
            os.close(handle)
        if not stat.S_ISREG(status.st_mode):
            hint = "; what a pipe gives can be pushed: lakehouse land SOURCE --file - --name NAME"
            raise SourceError(f"{self._shown} is not a regular file{hint if stat.S_ISFIFO(status.st_mode) else ''}")
        return status


def _walk(folder: str, parts: Sequence[str], closed: frozenset[str]) -> Iterator[tuple[str, str | None]]:
    """The files below a folder that match what is left of a glob, or a folder with why it cannot be read."""
    if folder in closed:
        return
    head, rest = parts[0], parts[1:]
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if not entry.name.startswith(".") or head.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield folder, _reason(error)
        return
    if head == "**":
        yield from _walk(folder, rest or ("*",), closed)
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, parts, closed)
        return
    matches = re.compile(fnmatch.translate(head)).match
    for entry in found:
        if matches(entry.name) and not rest:
            yield entry.path, None
        elif matches(entry.name) and entry.is_dir():
            yield from _walk(entry.path, rest, closed)


def _must_be_a_file(path: str) -> None:
    """Refuse a plain path that names no file.

    Raises:
        SourceError: nothing is there, or it is a folder, a pipe, a socket or a device.
    """
    shown = f"'{printable(storable(path))}'"
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        if os.path.islink(path):
            return  # reported when opened
        parent, name = os.path.split(path)
        try:
            near = nearest(storable(name), (storable(known) for known in os.listdir(parent)))
        except OSError:
            near = f" There is no folder '{printable(storable(parent))}'."
        raise SourceError(f"there is no file {shown}.{printable(near)}") from error
    except OSError as error:
        raise SourceError(f"{shown} cannot be read: {_reason(error)}") from error
    if stat.S_ISDIR(status.st_mode):
        raise SourceError(f"{shown} is a folder; write {shown[:-1].rstrip('/')}/*' for the files in it")
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(f"{shown} is not a regular file")


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
