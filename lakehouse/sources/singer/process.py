"""A tap under way: its output in pieces, what it says on stderr, and how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from lakehouse.errors import SourceError
from lakehouse.records import printable
from lakehouse.units import written

__all__ = ["Tap", "environment", "running"]

_GUARD = Path(__file__).with_name("guard.py")
_PIPE = 1 << 20  # what lies ready while the lake writes; also the largest piece
_GATHER = 0.002  # seconds: taps flush every line, and a piece a line would cost more than the lines
_LOOK = 1.0  # seconds between looks whether the tap has ended: what it left running may hold its pipes open
_KEPT = 256 << 10  # bytes of stderr, from its end: more than any secret has, so that one in it is found whole
_LINES = 10  # of stderr that a message shows
_WIDEST = 500  # characters of such a line
_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


def environment(*also: str) -> dict[str, str]:
    """The few variables of this process that another program is told: none that may be a secret of the lake.

    Args:
        also: beginnings of further ones.
    """
    beginnings = ("LC_", *also)
    return {name: v for name, v in os.environ.items() if name in _PASSED_ON or name.startswith(beginnings)}


class Tap:
    """A tap that runs; `pieces` gives its output, and then `status`, `ended` and `failure` tell how it ended.

    Attributes:
        status: its exit status; None while it runs, and where the lake ended it.
        ended: why the lake ended it; "" where it ended by itself.
    """

    def __init__(self, process: subprocess.Popen[bytes], timeout: timedelta, deadline: timedelta) -> None:
        self.status: int | None = None
        self.ended = ""
        self._process = process
        self._timeout = timeout
        self._deadline = deadline
        self._told = bytearray()
        self._cut = False  # whether more was said before what is kept

    def pieces(self) -> Iterator[bytes]:
        """What the tap writes on its output, as it comes."""
        assert self._process.stdout is not None  # noqa: S101  # both are pipes
        assert self._process.stderr is not None  # noqa: S101
        heard = time.monotonic()
        end = heard + self._deadline.total_seconds()
        silence = self._timeout.total_seconds()
        with selectors.DefaultSelector() as ready:
            for stream in (self._process.stdout, self._process.stderr):
                ready.register(stream, selectors.EVENT_READ)
            while ready.get_map():
                over = self._process.poll() is not None  # before the look: then that sees all the tap ever wrote
                now = time.monotonic()
                if now >= end:
                    break
                found = ready.select(0.0 if over else max(0.0, min(_LOOK, end - now, heard + silence - now)))
                if not found:
                    if over or time.monotonic() >= heard + silence:
                        break
                    continue
                time.sleep(_GATHER)
                for key, _ in found:
                    piece = os.read(key.fd, _PIPE)
                    if not piece:
                        ready.unregister(key.fileobj)
                    elif key.fileobj is self._process.stderr:
                        self._hear(piece)
                    else:
                        yield piece
                heard = time.monotonic()
        now = time.monotonic()
        try:  # where its end is not known yet, it may come now
            self.status = self._process.wait(max(0.0, min(end, heard + silence) - now))
        except subprocess.TimeoutExpired:
            late = f"still running after {written(self._deadline)} (its deadline)"
            silent = f"silent for {written(self._timeout)} (its timeout)"
            self.ended = f"was ended: {late if end <= heard + silence else silent}"

    def _hear(self, piece: bytes) -> None:
        """Keep the end of what was said."""
        self._told += piece
        self._cut |= len(self._told) > _KEPT
        del self._told[:-_KEPT]

    def failure(self, redact: Callable[[str], str]) -> str:
        """How it failed, with the last lines of what it said; "" when it ended well.

        Args:
            redact: takes secrets out of a text.
        """
        if self.status == 0 and not self.ended:
            return ""
        how = self.ended or f"ended with status {self.status}"
        told = bytes(self._told)
        if self._cut:  # a line without its beginning may begin in the middle of a secret
            told = "…\n".encode() + told.partition(b"\n")[2]
        # Secrets go first: one may have several lines, or lie where a long line is cut.
        lines = (line.strip() for line in redact(told.decode("utf-8", "replace")).split("\n"))
        said = "\n  ".join([printable(line[:_WIDEST]) for line in lines if line][-_LINES:])
        return f"{how}; the last it said:\n  {said}" if said else f"{how}, and said nothing"


@contextmanager
def running(  # noqa: PLR0913  # what a process is
    command: Sequence[str],
    files: Mapping[str, str],
    *,
    folder: Path,
    variables: Mapping[str, str],
    timeout: timedelta,
    deadline: timedelta,
) -> Iterator[Tap]:
    """A tap for the length of the block; whatever ends the block, or this process, ends the tap.

    Args:
        command: the program and its arguments.
        files: option (``config``) to the text of the file it is given; removed afterwards.
        folder: where it runs.
        variables: its whole environment.
        timeout: the longest silence.
        deadline: the longest it may take.

    Raises:
        SourceError: no process could be started.
    """
    # Both sides remove the folder: the guard where this process is killed, this process where the guard is.
    try:
        given = tempfile.mkdtemp(prefix="lakehouse-tap-")  # 0700
    except OSError as error:
        raise SourceError(f"the tap cannot be started: {error.strerror}: '{tempfile.gettempdir()}'") from error
    try:
        with _started(folder, variables) as process:
            _tell(process, {"command": list(command), "folder": given, "files": dict(files)})
            yield Tap(process, timeout, deadline)
    finally:
        shutil.rmtree(given, ignore_errors=True)


@contextmanager
def _started(folder: Path, variables: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The guard; it has ended when the block has."""
    try:
        process = subprocess.Popen(  # noqa: S603  # the user's own command
            [sys.executable, "-I", "-S", str(_GUARD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=folder,
            env=dict(variables),
            start_new_session=True,
            pipesize=_PIPE,
        )
    except OSError as error:
        raise SourceError(f"the tap cannot be started: {error.strerror}") from error
    with process:
        try:
            yield process
        finally:
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()  # without its input the guard kills the tap, and removes its files


def _tell(process: subprocess.Popen[bytes], asked: Mapping[str, object]) -> None:
    assert process.stdin is not None  # noqa: S101  # a pipe
    view = memoryview(json.dumps(asked).encode() + b"\n")
    with contextlib.suppress(BrokenPipeError):  # the guard has ended, and its status will tell
        while view:
            view = view[process.stdin.write(view) :]
