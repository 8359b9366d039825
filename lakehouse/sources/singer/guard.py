"""Runs one tap for a lake that may be killed, and leaves neither the tap nor its files behind.

A program of its own (``python guard.py``), with the standard library alone. Its input begins with one line of JSON:
``command``, ``files`` (option to text) and ``folder``, which only its user may enter. It writes each file there, runs
the command with ``--config FILE`` and so on, and ends with the tap's status. When its input ends, which it does
however the lake's process ends, the tap and all that it started are killed. It holds no secret in its arguments.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

CANNOT_START = 127


def main() -> int:
    """Run the tap; its exit status, or minus the number of the signal that ended it."""
    asked = json.loads(sys.stdin.buffer.readline())
    folder = asked["folder"]
    try:
        command = list(asked["command"])
        for option, text in asked["files"].items():
            file = Path(folder, f"{option}.json")
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
                opened.write(text)
            command += [f"--{option}", str(file)]
        return _run(command)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str]) -> int:
    try:
        tap = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603  # the user's own
    except OSError as error:
        sys.stderr.write(f"{error.strerror}\n")
        return CANNOT_START

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(tap.pid, signal.SIGKILL)

    def watch() -> None:
        while os.read(0, 1 << 16):
            pass
        kill()

    threading.Thread(target=watch, daemon=True).start()
    status = tap.wait()
    kill()  # what it left running would hold the pipes open
    return status


if __name__ == "__main__":
    # The lake ends the input; a signal for the whole terminal must not end the guard before its tap.
    # Caught, not ignored: the tap and its children would inherit that.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    ended = main()
    os._exit(ended if ended >= 0 else 128 - ended)
