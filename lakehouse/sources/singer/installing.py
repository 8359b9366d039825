"""A Python environment of a tap's own, made once for a list of requirements."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lakehouse.errors import SourceError
from lakehouse.records import printable
from lakehouse.sources.singer.process import environment

__all__ = ["installed"]

_LONGEST = 1800  # seconds for pip
_PIP = ("PIP_", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_WHOLE = "complete"


def installed(requirements: Sequence[str], folder: Path) -> Path:
    """The folder of programs of an environment that has these requirements; made the first time.

    One process makes it, the others wait. What a killed one left is made anew.

    Args:
        requirements: as pip takes them.
        folder: holds the environments.

    Raises:
        SourceError: it cannot be made; with the last lines of what pip said.
    """
    asked = json.dumps([sys.version, sys.prefix, *requirements])
    made = folder / hashlib.sha256(asked.encode()).hexdigest()[:16]
    programs = made / "bin"
    if (made / _WHOLE).exists():
        return programs
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with made.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (made / _WHOLE).exists():
                if made.exists():
                    shutil.rmtree(made)
                _run([sys.executable, "-m", "venv", str(made)], requirements)
                pip = [str(programs / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
                _run([*pip, "--disable-pip-version-check", "--", *requirements], requirements)
                (made / _WHOLE).write_text("\n".join(requirements), "utf-8")
    except OSError as error:
        raise SourceError(f"no environment can be made in '{folder}': {error.strerror}") from error
    return programs


def _run(command: Sequence[str], requirements: Sequence[str]) -> None:
    variables = {**environment(*_PIP), "PYTHONNOUSERSITE": "1"}
    try:
        ended = subprocess.run(  # noqa: S603  # the user's own requirements
            command, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=_LONGEST, env=variables
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"{', '.join(requirements)}: not installed after {_LONGEST // 60} minutes") from error
    if ended.returncode:
        lines = (ended.stderr or ended.stdout).decode("utf-8", "replace").strip().splitlines()
        said = "\n  ".join(printable(line[:500]) for line in lines if not line.startswith("WARNING"))[-2000:]
        raise SourceError(f"{', '.join(requirements)} cannot be installed:{os.linesep}  {said}")
