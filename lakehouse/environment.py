"""What a step ran with: code, packages and machine, so that its result can be explained and repeated."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import inspect
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lakehouse.records import Value

__all__ = ["caller", "capture", "code_hash"]

_PATIENCE = 10  # seconds git may take
_MOST = 150  # packages named of a caller
_HERE = f"{Path(__file__).parent}/"


def capture(folder: Path) -> Mapping[str, Value]:
    """The properties every execution records.

    Args:
        folder: the project's folder, whose git commit counts as the version of configuration and jobs.
    """
    return {"code_version": _git(folder), **_fixed()}


def caller() -> Mapping[str, Value]:
    """The properties of the code that called the lake: the innermost file on the stack that is not the lake's own.

    Returns:
        ``script`` (its path), ``script_hash`` (its SHA-256; "" where it is no file, as in a notebook),
        ``script_version`` (the git commit of its folder), and ``packages``: beside the lake's own those that
        are loaded.
    """
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith((_HERE, contextlib.__file__)):
        frame = frame.f_back
    name = "" if frame is None else frame.f_code.co_filename
    path = Path(name)
    found = path.is_file()
    return {
        "script": str(path.resolve()) if found else name,
        "script_hash": hashlib.sha256(path.read_bytes()).hexdigest() if found else "",
        "script_version": _git(path.resolve().parent if found else Path.cwd()),
        "packages": _listed([*_own(), *_loaded()]),
    }


@functools.cache
def _fixed() -> dict[str, Value]:
    return {
        "python": platform.python_version(),
        "packages": _listed(_own()),
        "machine": f"{platform.node()} {platform.system()} {platform.machine()}",
    }


@functools.cache
def _own() -> tuple[str, ...]:
    """The lake's own distribution and what it needs; without their extras."""
    try:
        required = importlib.metadata.requires("lakehouse") or []
    except importlib.metadata.PackageNotFoundError:  # run from its sources
        return ("lakehouse", "polars", "pyarrow", "deltalake")
    names = [re.split(r"[\s<>=!~;\[(]", line, maxsplit=1)[0] for line in required if "extra ==" not in line]
    return ("lakehouse", *names)


def _loaded() -> Iterable[str]:
    """The distributions of what is imported, but for Python's own."""
    modules = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
    return sorted({name for module, names in _distributions().items() if module in modules for name in names})


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _listed(names: Iterable[str]) -> str:
    versions = {name.lower(): _version(name) for name in dict.fromkeys(names)}
    shown = [f"{name}={version}" for name, version in list(versions.items())[:_MOST]]
    return " ".join(shown) + (f" and {len(versions) - _MOST} more" if len(versions) > _MOST else "")


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
