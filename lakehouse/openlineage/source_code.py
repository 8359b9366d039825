"""Where a step's code lies in its repository."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

from lakehouse.config import Dataset

__all__ = ["Repository", "file_of", "repository", "web"]

_PATIENCE = 10  # seconds git may take
_SCP = re.compile(r"(?:[^/@:]+@)?(?P<host>[^/@:]+):(?!//)(?P<path>.+)")
_COMMIT = re.compile(r"[0-9a-f]{40,64}")


class Repository(NamedTuple):
    """The git repository a folder is in.

    Attributes:
        url: its remote ``origin``, as a web address where it has one, without user and password; "" without one.
        prefix: the folder in it: "" or a path that ends in ``/``.
    """

    url: str
    prefix: str

    def path(self, folder: Path, file: Path) -> str:
        """The path in the repository of a file in the folder."""
        return f"{self.prefix}{file.relative_to(folder).as_posix()}"

    def address(self, folder: Path, file: Path, commit: str) -> str:
        """The web address of a file at a commit; without one, the file's own."""
        if not self.url or not _COMMIT.fullmatch(commit):
            return file.as_uri()
        return f"{self.url}/blob/{commit}/{quote(self.path(folder, file))}"


@functools.lru_cache(maxsize=8)
def repository(folder: Path) -> Repository | None:
    """The repository a folder is in; None where it is in none. Asked of git once a process."""
    prefix = _git(folder, "rev-parse", "--show-prefix")
    if prefix is None:
        return None
    return Repository(web(_git(folder, "remote", "get-url", "origin") or ""), prefix)


def web(remote: str) -> str:
    """A remote's address for browsers: ``git@host:team/lake.git`` is ``https://host/team/lake``.

    User and password are left out. A remote that is a path, or of a form that is not known, gives "".
    """
    scp = None if "://" in remote else _SCP.fullmatch(remote)
    if scp is not None:
        return f"https://{scp['host']}/{scp['path'].removeprefix('/').removesuffix('.git')}"
    try:
        parts = urlsplit(remote)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port and parts.scheme != "ssh" else ""
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https", "ssh", "git") or not host:
        return ""
    scheme = parts.scheme if parts.scheme == "http" else "https"
    return urlunsplit((scheme, host + port, parts.path.removesuffix("/").removesuffix(".git"), "", ""))


def file_of(dataset: Dataset | None, project: Path, configs: Path) -> Path:
    """The file that says how a dataset is made: its function's, else its YAML, else the configuration's folder."""
    if dataset is None:
        return configs
    if dataset.curate is not None:
        module = project.joinpath(*dataset.curate.split(".")[:-1])
        for file in (module.with_suffix(".py"), module / "__init__.py"):
            if file.is_file():
                return file
    return configs / "datasets" / f"{dataset.name}.yaml"


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  # fixed arguments
            ["git", "-C", str(folder), *arguments],  # noqa: S607  # git from the path, as everybody's
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
