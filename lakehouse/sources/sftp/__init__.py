"""Files on SFTP servers, whose host keys are always checked. Never writes to, moves or deletes what it reads."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import posixpath
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr, model_validator

from lakehouse.errors import SourceError
from lakehouse.sources import Download, Offer, Seen, Source
from lakehouse.sources.files import Patterns, storable
from lakehouse.sources.sftp.connecting import Access
from lakehouse.sources.sftp.server import CUT, DENIED, Server
from lakehouse.units import Duration

if TYPE_CHECKING:  # 0.2 s, and an extra
    import paramiko

__all__ = ["SftpSource"]

_MAGIC = re.compile(r"[*?\[]")
_RESUMES = 3
_YOUNG = 2.0
"""Seconds: times are whole ones there, so a file may change once more in its own. The next landing reads it again."""


def _key(value: str) -> str:
    kind, _, rest = value.strip().partition(" ")
    if kind.startswith("SHA256:"):
        if not rest and re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", kind):
            return kind
        raise ValueError("a fingerprint is SHA256: and 43 characters, as ssh-keygen -l prints it")
    try:
        base64.b64decode(rest.split(" ")[0], validate=True)
    except binascii.Error:
        rest = ""
    if not rest or not re.fullmatch(r"[a-z0-9@.-]+", kind):
        raise ValueError("is a line of ssh-keyscan without the host, 'ssh-ed25519 AAAA…', or a fingerprint, 'SHA256:…'")
    return value.strip()


def _paths(value: tuple[str, ...]) -> tuple[str, ...]:
    for path in value:
        if "\0" in path or path.endswith("/"):
            raise ValueError("names a folder; write folder/* for the files in it")
    return value


class SftpSource(Source):
    """Files and globs on one server; globs, order and ``settle`` are those of `FilesSource`.

    Attributes:
        host: the server.
        port: where it listens.
        user: who asks.
        password: of the user.
        key: in place of a password: a private key's path, or the key itself.
        passphrase: of the key.
        allow_agent: whether keys of a running agent are tried.
        host_key: the server's public key (``ssh-ed25519 AAAA…``) or its fingerprint (``SHA256:…``).
        known_hosts: in place of it, the file that holds it.
        path: one path or glob, or a list; relative ones start where the server puts the user.
        exclude: globs of names, or of whole paths, to leave out.
        settle: how long a file must have been unchanged before it counts as whole.
        timeout: the longest wait for the next bytes.
        deadline: the longest one file, or the look for files, may take.
    """

    asking: ClassVar = ("path", "exclude")
    watchable: ClassVar = True

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9:._-]+$")]
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: Annotated[str, Field(min_length=1)]
    password: SecretStr | None = None
    key: SecretStr | None = None
    passphrase: SecretStr | None = None
    allow_agent: bool = False
    host_key: Annotated[str, AfterValidator(_key)] | None = None
    known_hosts: str = "~/.ssh/known_hosts"
    path: Annotated[Patterns, Field(min_length=1), AfterValidator(_paths)]
    exclude: Patterns = ()
    settle: Duration = timedelta()
    timeout: Annotated[Duration, Field(gt=timedelta())] = timedelta(seconds=30)
    deadline: Annotated[Duration, Field(gt=timedelta())] = timedelta(hours=6)

    @model_validator(mode="after")
    def _says_who_asks(self) -> SftpSource:
        if self.password is None and self.key is None and not self.allow_agent:
            raise ValueError("password: or key: is required (or allow_agent: true)")
        if self.passphrase is not None and self.key is None:
            raise ValueError("passphrase: is of a key:, which is missing")
        return self

    def places(self) -> tuple[str, ...]:
        """The files that are named, and of a glob the folder it starts in."""
        access = self._access()
        return tuple(dict.fromkeys(access.uri(_fixed(pattern)[0]) for pattern in self.path))

    def offers(self, seen: Seen, now: datetime) -> Iterator[Offer]:
        """The files that match now, over one connection; see `Source.offers`."""
        server = Server(self._access())
        try:
            found: dict[str, paramiko.SFTPAttributes | None] = {}
            with server.watched(server.access.uri("")):
                for pattern in self.path:
                    top, glob = _fixed(pattern)
                    files = server.walk(top, glob) if glob else server.named(top)
                    for path, status in files:
                        found.setdefault(path, status)
            for path in sorted(found, key=lambda path: path.encode("utf-8", "surrogateescape")):
                if not self._excluded(path):
                    yield self._offer(server, path, found[path], seen, now)
        finally:
            server.close()

    def _excluded(self, path: str) -> bool:
        name = posixpath.basename(path)
        return any(fnmatch.fnmatchcase(name, glob) or fnmatch.fnmatchcase(path, glob) for glob in self.exclude)

    def _offer(
        self, server: Server, path: str, status: paramiko.SFTPAttributes | None, seen: Seen, now: datetime
    ) -> _SftpOffer:
        origin, name = server.access.uri(path), storable(self._redact(posixpath.basename(path)))
        if status is None:
            return _SftpOffer(server, path, origin, name, denied=True)
        last = seen.get(origin)
        unchanged = last is not None and (last.size, last.modified) == _state(status)
        settle = self.settle.total_seconds()
        left = 0.0 if unchanged else min(settle, max(0.0, settle - (now.timestamp() - (status.st_mtime or 0))))
        return _SftpOffer(server, path, origin, name, left, unchanged)

    def _access(self) -> Access:
        return Access(
            host=self.host,
            port=self.port,
            user=self.user,
            password=_value(self.password),
            key=_value(self.key),
            passphrase=_value(self.passphrase),
            allow_agent=self.allow_agent,
            host_key=self.host_key,
            known_hosts=self._folder / Path(self.known_hosts).expanduser(),
            needs_known_hosts="known_hosts" in self.model_fields_set,
            folder=self._folder,
            timeout=self.timeout.total_seconds(),
            deadline=self.deadline.total_seconds(),
            redact=self._redact,
        )


@dataclass
class _SftpOffer(Offer):
    server: Server
    path: str
    origin: str
    name: str
    settling: float = 0.0
    unchanged: bool = False
    denied: bool = False

    @contextmanager
    def open(self) -> Iterator[Download]:
        """Give the file's bytes, and look again afterwards whether it stayed the same."""
        if self.denied:
            raise self.server.access.error(self.origin, DENIED)
        with self.server.watched(self.origin):
            size, mark = _state(self.server.stat(self.path))
            young = abs(time.time() - int(mark)) < _YOUNG
            yield Download(chunks=self._chunks(size, mark), size=size, modified="" if young else mark)
            if _state(self.server.stat(self.path)) != (size, mark):
                raise self._changing()

    def _chunks(self, size: int, mark: str) -> Iterator[bytes]:
        """The bytes; where the connection is cut they go on from there over another."""
        with self.server.worded(self.origin):  # an OSError would be taken for one of the lake's own disk
            yield from self._pieces(size, mark)

    def _pieces(self, size: int, mark: str) -> Iterator[bytes]:
        done, resumes, resumed_at = 0, 0, -1
        while True:
            try:
                for chunk in self.server.read(self.path, done, size):
                    done += len(chunk)
                    yield chunk
            except (PermissionError, FileNotFoundError):
                raise  # answers of the server: asking another time changes nothing
            except CUT as error:
                again = resumes < _RESUMES and done > resumed_at and not self.server.overdue
                if not again:
                    raise self._cut(done, size, error) from error
                resumes, resumed_at = resumes + 1, done
                self.server.close()
                if _state(self.server.stat(self.path)) != (size, mark):
                    raise self._changing() from error
            else:
                return

    def _cut(self, done: int, size: int, error: Exception) -> SourceError:
        text = f"was cut off after {done:,} of {size:,} bytes: {self.server.reason(error)}"
        return self.server.access.error(self.origin, text, retryable=True)

    def _changing(self) -> SourceError:
        text = "is still being written; set 'settle' to wait for it"
        return self.server.access.error(self.origin, text, retryable=True)


def _fixed(pattern: str) -> tuple[str, tuple[str, ...]]:
    """A pattern's path up to its first magic part, and that part and the rest."""
    parts = pattern.split("/")
    fixed = next((i for i, part in enumerate(parts) if _MAGIC.search(part)), len(parts))
    top = "/".join(parts[:fixed])
    return (top or "/" if pattern.startswith("/") else top), tuple(parts[fixed:])


def _state(status: paramiko.SFTPAttributes) -> tuple[int, str]:
    """A file's size, and its mark: when it was written, in seconds."""
    return status.st_size or 0, str(status.st_mtime or 0)


def _value(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
