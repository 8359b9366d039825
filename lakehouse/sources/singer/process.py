"""A tap under way: its output in pieces, what it says on stderr, and how it ended."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
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
    """A tap that runs; `pieces` gives its output, and then `status` and `ended` tell how it ended.

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
        self._told: deque[bytes] = deque(maxlen=_LINES)

    def pieces(self) -> Iterator[bytes]:
        """What the tap writes on its output, as it comes."""
        assert self._process.stdout is not None  # noqa: S101  # both are pipes
        assert self._process.stderr is not None  # noqa: S101
        end = time.monotonic() + self._deadline.total_seconds()
        with selectors.DefaultSelector() as ready:
            for stream in (self._process.stdout, self._process.stderr):
                ready.register(stream, selectors.EVENT_READ)
            while ready.get_map():
                silence = self._timeout.total_seconds()
                found = ready.select(max(0.0, min(silence, end - time.monotonic())))
                if not found:
                    late = time.monotonic() >= end
                    self.ended = (
                        f"was ended: still running after {written(self._deadline)} (its deadline)"
                        if late
                        else f"was ended: silent for {written(self._timeout)} (its timeout)"
                    )
                    return
                time.sleep(_GATHER)
                for key, _ in found:
                    piece = os.read(key.fd, _PIPE)
                    if not piece:
                        ready.unregister(key.fileobj)
                    elif key.fileobj is self._process.stderr:
                        self._hear(piece)
                    else:
                        yield piece
        self.status = self._process.wait()

    def _hear(self, piece: bytes) -> None:
        """Keep the last lines, each cut to a width."""
        first, *more = piece[-_LINES * 4096 :].split(b"\n")
        self._told.append(((self._told.pop() if self._told else b"") + first)[: 4 * _WIDEST])
        self._told.extend(line[: 4 * _WIDEST] for line in more)

    @property
    def failure(self) -> str:
        """How it failed, with the last lines of what it said; "" when it ended well."""
        if self.status == 0 and not self.ended:
            return ""
        how = self.ended or f"ended with status {self.status}"
        lines = [printable(line.decode("utf-8", "replace").strip()[:_WIDEST]) for line in self._told]
        said = "\n  ".join(line for line in lines if line)
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
    assert process.stdin is not None  # noqa: S101  # a pipe
    try:
        with process:
            try:
                asked = json.dumps({"command": list(command), "files": dict(files)}).encode() + b"\n"
                view = memoryview(asked)
                while view:
                    view = view[process.stdin.write(view) :]
                yield Tap(process, timeout, deadline)
            finally:
                process.stdin.close()  # the guard kills the tap then, and removes its files
                for stream in (process.stdout, process.stderr):
                    if stream is not None:
                        stream.close()
    except BrokenPipeError as error:
        raise SourceError("the tap cannot be started: its guard ended") from error
