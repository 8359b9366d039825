"""Named places where a test can kill the process, to prove that a crash between any two lines is harmless.

``LAKEHOUSE_FAIL_AT=land.staged`` kills (SIGKILL, as a power cut would) when that point is reached the
first time, ``land.staged:3`` the third. Unset, a point costs one comparison.
"""

from __future__ import annotations

import itertools
import os
import signal

__all__ = ["point"]

_AT, _, _NTH = os.environ.get("LAKEHOUSE_FAIL_AT", "").partition(":")
_count = itertools.count(1)


def point(name: str) -> None:
    """A place between two steps. Does nothing unless the environment asks for a crash here."""
    if name == _AT and next(_count) == int(_NTH or 1):
        os.kill(os.getpid(), signal.SIGKILL)
