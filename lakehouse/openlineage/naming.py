"""What datasets and jobs are called: OpenLineage's naming conventions, so that other tools' events meet ours.

A dataset is its location: the namespace is where it is stored (``file``, ``s3://bucket``), the name the path there.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from openlineage.client.uuid import generate_static_uuid

__all__ = ["Name", "of_execution", "of_run", "of_uri", "of_zone"]


class Name(NamedTuple):
    """A dataset's namespace and its name there."""

    namespace: str
    name: str

    @property
    def uri(self) -> str:
        """Both in one."""
        if self.namespace == "file":
            return Path(self.name).as_uri()
        return f"{self.namespace}/{self.name.removeprefix('/')}"


def of_zone(root: Path, zone: str, name: str) -> Name:
    """A dataset or source in a zone of the lake. A table's later generations are the same dataset."""
    return Name("file", str(root / zone / name))


def of_uri(uri: str, root: Path) -> Name:
    """Something at a URI, or at a path in the lake; user, password, query and fragment are left out."""
    if "://" not in uri:
        return Name("file", str(root / uri))
    try:
        parts = urlsplit(uri)
    except ValueError:  # a bracket without its other; what it hides is not known
        return Name(uri.partition("://")[0], "/")
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Name("file", unquote(parts.path))
    host = parts.netloc.rpartition("@")[2]
    path = parts.path if parts.scheme in ("http", "https") else parts.path.removeprefix("/")
    return Name(f"{parts.scheme}://{host}", path or "/")


def of_execution(root: Path, execution: int, begun: datetime) -> str:
    """The run id of an execution: the same in every process, so that whoever settles it ends its run."""
    return str(_id(begun, f"{root}\0execution\0{execution}"))


def of_run(root: Path, run: str) -> str:
    """The run id of a job's run, whose name (``nightly/20260101T000000Z-1a2b3c``) says when it began."""
    stamp = run.rpartition("/")[2].partition("-")[0]
    try:
        begun = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:  # a name of another program's making
        begun = datetime.fromtimestamp(0, UTC)
    return str(_id(begun, f"{root}\0run\0{run}"))


def _id(begun: datetime, what: str) -> uuid.UUID:
    return generate_static_uuid(begun, what.encode("utf-8", "surrogateescape"))
