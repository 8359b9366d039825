"""What a step ran with: code, packages and machine, so that its result can be explained and repeated."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import inspect
import platform
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lakehouse.records import Value

__all__ = ["capture", "code_hash"]

_PACKAGES = ("lakehouse", "polars", "pyarrow", "deltalake")
_PATIENCE = 10  # seconds git may take


def capture(folder: Path) -> Mapping[str, Value]:
    """The properties every execution records.

    Args:
        folder: the project's folder, whose git commit counts as the version of configuration and jobs.
    """
    return {"code_version": _git(folder), **_fixed()}


@functools.cache
def _fixed() -> dict[str, Value]:
    return {
        "python": platform.python_version(),
        "packages": " ".join(f"{name}={_version(name)}" for name in _PACKAGES),
        "machine": f"{platform.node()} {platform.system()} {platform.machine()}",
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _git(folder: Path) -> str:
    """The commit, with ``-dirty`` when tracked files differ from it; ``none`` outside a repository."""
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "none"


def code_hash(function: Callable[..., Any] | None) -> str:
    """SHA-256 of the file a function is written in; "" without one."""
    if function is None:
        return ""
    file = inspect.getsourcefile(inspect.unwrap(function))
    return "" if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()
