"""One SFTP server: its folders, and its files read a window at a time. Never writes to it."""

from __future__ import annotations

import fnmatch
import posixpath
import re
import stat
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lakehouse.records import printable
from lakehouse.sources.sftp.connecting import Access, connect, require

if TYPE_CHECKING:  # 0.2 s, and an extra
    import paramiko

__all__ = ["CUT", "DENIED", "Server"]

CUT = (EOFError, OSError)
"""What a connection that ends looks like; `Server.read` turns paramiko's own errors into these."""

_PIECE = 32 << 10  # bytes a request: what every server answers whole
_AHEAD = 4 << 20  # bytes asked for before the first of them is used: the most that is held
DENIED = "the server denies access"


class Server:
    """One connection, made when it is first needed and anew after it was cut."""

    def __init__(self, access: Access) -> None:
        require()
        self.access = access
        self.overdue = False
        self._client: paramiko.SSHClient | None = None
        self._sftp: paramiko.SFTPClient | None = None

    def close(self) -> None:
        """End the connection, if there is one."""
        client, self._client, self._sftp = self._client, None, None
        if client is not None:
            client.close()

    @contextmanager
    def watched(self, where: str) -> Iterator[None]:
        """Ends the connection when the deadline passes, and gives errors their words."""
        self.overdue = False
        timer = threading.Timer(self.access.deadline, self._end)
        timer.daemon = True
        timer.start()
        try:
            with self.worded(where):
                yield
        finally:
            timer.cancel()

    @contextmanager
    def worded(self, where: str) -> Iterator[None]:
        """Gives errors their words.

        Raises:
            SourceError: in place of any other error of the server or the connection.
        """
        import paramiko  # noqa: PLC0415  # an extra

        try:
            yield
        except PermissionError as error:
            raise self.access.error(where, DENIED) from error
        except FileNotFoundError as error:
            raise self.access.error(where, "is gone since it was listed") from error
        except (*CUT, paramiko.SSHException) as error:
            self.close()
            raise self.access.error(where, self.reason(error), retryable=True) from error

    def _end(self) -> None:
        self.overdue = True
        client = self._client
        if client is not None:
            client.close()

    def reason(self, error: Exception) -> str:
        """What an error of the connection means."""
        if self.overdue:
            return "the deadline has passed"
        if isinstance(error, TimeoutError):
            return "no answer in time"
        return printable(str(error)) or "the server ended the connection"

    def stat(self, path: str) -> paramiko.SFTPAttributes:
        """A file, through links."""
        return self._live().stat(_bytes(path))

    def named(self, path: str) -> Iterator[tuple[str, paramiko.SFTPAttributes]]:
        """One file by its path.

        Raises:
            SourceError: nothing is there, or no file.
        """
        where = self.access.uri(path)
        try:
            status = self.stat(path)
        except FileNotFoundError as error:
            raise self.access.error(where, "there is no such file") from error
        if not stat.S_ISREG(status.st_mode or 0):
            raise self.access.error(where, "is not a file; write folder/* for the files in a folder")
        yield path, status

    def walk(self, folder: str, parts: Sequence[str]) -> Iterator[tuple[str, paramiko.SFTPAttributes | None]]:
        """The files below a folder that match what is left of a glob; ``**`` does not enter linked folders.

        A folder that the server denies is given by itself, with None.
        """
        head, rest = parts[0], parts[1:]
        try:
            entries = self._entries(folder)
        except FileNotFoundError:
            return
        except PermissionError:
            yield folder, None
            return
        entries = [(name, status) for name, status in entries if not name.startswith(".") or head.startswith(".")]
        if head == "**":
            yield from self.walk(folder, rest or ("*",))
            for name, status in entries:
                if stat.S_ISDIR(status.st_mode or 0):
                    yield from self.walk(posixpath.join(folder, name), parts)
            return
        matches = re.compile(fnmatch.translate(head)).match
        for name, listed in entries:
            path = posixpath.join(folder, name)
            status = self._behind(path, listed) if matches(name) else None
            mode = (status.st_mode or 0) if status else 0
            if rest and stat.S_ISDIR(mode):
                yield from self.walk(path, rest)
            elif status and not rest and stat.S_ISREG(mode):
                yield path, status

    def _behind(self, path: str, listed: paramiko.SFTPAttributes) -> paramiko.SFTPAttributes | None:
        """What an entry is, or what a link leads to; None when that is nothing."""
        if not stat.S_ISLNK(listed.st_mode or 0):
            return listed
        try:
            return self.stat(path)
        except (FileNotFoundError, PermissionError):
            return None
        except OSError:
            if self._ended():
                raise
            return None  # a link to itself: a failure of no kind, in the protocol

    def _entries(self, folder: str) -> list[tuple[str, paramiko.SFTPAttributes]]:
        """A folder's entries. By hand: paramiko's own fails at the first name that is not UTF-8."""
        from paramiko import SFTPAttributes, sftp  # noqa: PLC0415  # an extra

        client: Any = self._live()
        kind, message = client._request(sftp.CMD_OPENDIR, _bytes(folder or "."))  # noqa: SLF001
        handle = message.get_binary()
        found = []
        while True:
            try:
                kind, message = client._request(sftp.CMD_READDIR, handle)  # noqa: SLF001
            except EOFError:
                if self._ended():
                    raise
                break
            if kind != sftp.CMD_NAME:
                raise sftp.SFTPError("the server lists a folder with an answer of another kind")
            for _ in range(message.get_int()):
                name = message.get_binary().decode("utf-8", "surrogateescape")
                message.get_binary()  # the line that `ls -l` would show
                status = SFTPAttributes._from_msg(message)  # noqa: SLF001
                if name not in (".", "..") and "/" not in name:
                    found.append((name, status))
        client._request(sftp.CMD_CLOSE, handle)  # noqa: SLF001
        return found

    def read(self, path: str, start: int, end: int) -> Iterator[bytes]:
        """A file's bytes from one place to another; stops early where the file does.

        By hand: paramiko's own read-ahead has no bound, and leaves a thread that fails when the connection is cut.
        """
        import paramiko  # noqa: PLC0415  # an extra

        try:
            client: Any = self._live()
            with client.open(_bytes(path), "rb") as file:
                while start < end:
                    before = start
                    for chunk in _ahead(client, file.handle, start, end):
                        start += len(chunk)
                        yield chunk
                    if start == before:
                        return
        except paramiko.SSHException as error:
            raise EOFError(str(error)) from error

    def _ended(self) -> bool:
        transport = self._client.get_transport() if self._client else None
        return transport is None or not transport.is_active()

    def _live(self) -> paramiko.SFTPClient:
        import paramiko  # noqa: PLC0415  # an extra

        if self._sftp is None or self._ended():
            self.close()
            self._client = client = paramiko.SSHClient()  # before it is connected: the deadline ends also that
            connect(client, self.access)
            opened = client.open_sftp()
            opened.get_channel().settimeout(self.access.timeout)
            self._sftp = opened
        return self._sftp


class _Answers(dict[int, bytes]):
    """What came for each request; nothing at the file's end. The client calls it as it calls its own files."""

    def _async_response(self, kind: int, message: Any, number: int) -> None:
        from paramiko import sftp  # noqa: PLC0415  # an extra

        if kind == sftp.CMD_DATA:
            self[number] = message.get_binary()
        elif message.get_int() == sftp.SFTP_EOF:
            self[number] = b""
        else:
            raise OSError(message.get_binary().decode("utf-8", "replace") or "the server refuses to read on")


def _ahead(client: Any, handle: bytes, start: int, end: int) -> Iterator[bytes]:
    """Pieces of a file in order, the next ones asked for before they are needed, up to the first that is short."""
    from paramiko import sftp  # noqa: PLC0415  # an extra

    answers, waiting = _Answers(), deque[tuple[int, int]]()
    whole = True
    while waiting or (whole and start < end):
        while whole and start < end and len(waiting) < _AHEAD // _PIECE:
            size = min(_PIECE, end - start)
            number = client._async_request(answers, sftp.CMD_READ, handle, sftp.int64(start), size)  # noqa: SLF001
            waiting.append((number, size))
            start += size
        number, size = waiting.popleft()
        while number not in answers:
            client._read_response()  # noqa: SLF001
        piece = answers.pop(number)
        if whole and piece:
            yield piece
        whole = whole and len(piece) == size


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
