"""Training sets: a spine with its features, kept as it was made, sealed by its hash, with all that it was made of.

One Parquet file each, ``features/<name>/<number>.parquet`` below the lake's root. It is written, synced and in its
place before the ledger tells of it; what a crash leaves there before that, the next of that name replaces.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from lakehouse import references
from lakehouse.errors import ConfigError, IntegrityError, NotFoundError
from lakehouse.faults import point
from lakehouse.features.assembling import Assembled
from lakehouse.records import Artifact, EventType, ExecutionState, Value, printable
from lakehouse.references import Reference
from lakehouse.site import Site
from lakehouse.storage import hash_file, refused, sync_file, sync_folders
from lakehouse.units import written

__all__ = ["TRAINING_SET", "TrainingSet", "find", "save", "usable"]

TRAINING_SET = "TrainingSet"
"""The type of a training set's artifact, and of the execution that made it."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_PIECE = 100_000  # rows hashed at once


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """A saved spine with its features.

    Attributes:
        number: of those of its name, from 0.
        path: the Parquet file.
        sha256: of its bytes.
        spine: sha256 of the spine's columns and rows: two sets of the same spine have the same.
        features: what was joined, ``aviation/weather:temp as dest_temp``, in the order of the columns.
        versions: the version of each dataset that was read.
        ttl: how old a value might be, by dataset; any age where one is not there.
        time: the spine's column of times.
        as_known: whether only what was recorded by a row's time was joined to it.
        feature_set: its name; "" where features were named one by one.
    """

    name: str
    number: int
    execution: int
    made_at: datetime
    path: Path
    sha256: str
    rows: int
    spine: str
    features: tuple[str, ...]
    versions: Mapping[str, int]
    ttl: Mapping[str, str]
    time: str
    as_known: bool
    feature_set: str

    def read(self) -> pl.DataFrame:
        """The rows, once their bytes were found to be those that were saved.

        Raises:
            NotFoundError: the file is gone.
            IntegrityError: its bytes were changed.
        """
        try:
            whole = hash_file(self.path) == self.sha256
        except FileNotFoundError:
            raise NotFoundError(f"'{self.path}' is gone; bring it back from a backup of the lake") from None
        if not whole:
            raise IntegrityError(f"'{self.path}' no longer matches its hash; bring it back from a backup of the lake")
        return pl.read_parquet(self.path, glob=False)


def usable(name: str) -> str:
    """The name, if a training set can have it.

    Raises:
        ConfigError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"'{printable(name)}' cannot be the name of a training set: letters, digits, '_' and '-'")
    return name


def save(site: Site, made: Assembled, name: str) -> TrainingSet:
    """Keep a spine with its features under a name; an older one of that name stays.

    Raises:
        ConfigError: the name cannot be one.
        StorageError: the disk refused; nothing is recorded.
    """
    usable(name)
    numbers = {dataset: version.version for dataset, version in made.versions.items()}
    inputs = site.ledger.get_artifacts(type="TableVersion", names=[f"{d}@{v}" for d, v in numbers.items()])
    told: dict[str, Value] = {
        "training_set": name,
        "columns": json.dumps({f"{d}@{numbers[d]}": names for d, names in made.columns.items()}, ensure_ascii=False),
    }
    with (
        site.storage.lock("training set", name),
        site.step(TRAINING_SET, told, [(artifact.id, EventType.INPUT) for artifact in inputs]) as execution,
        site.storage.work(f"training/{name}") as work,
    ):
        number = max(references.versions(site, TRAINING_SET, name), default=-1) + 1
        part, uri = work / "part.parquet", f"features/{name}/{number}.parquet"
        path = site.storage.path(uri)
        point("training.begun")
        with refused(f"writing '{uri}'"):
            made.frame.write_parquet(part, compression="zstd")
            part.chmod(0o444)
            sync_file(part)
            digest = hash_file(part)
            point("training.written")
            path.parent.mkdir(parents=True, exist_ok=True)
            part.replace(path)
            sync_folders([path.parent, path.parent.parent, site.storage.root], site.storage.root)
        point("training.placed")
        properties: dict[str, Value] = {
            "sha256": digest,
            "rows": made.frame.height,
            "spine": _digest(made.frame.drop(one.column for one in made.features)),
            "features": json.dumps([_named(one.dataset, one.feature, one.column) for one in made.features]),
            "versions": json.dumps(numbers),
            "ttl": json.dumps({dataset: written(age) for dataset, age in made.ttl.items()}),
            "time": made.time,
            "as_known": made.as_known,
            "feature_set": made.feature_set,
            "execution": execution,
            "made_at": site.clock().isoformat(timespec="microseconds"),
        }
        artifact = Artifact(TRAINING_SET, f"{name}@{number}", uri, properties=properties)
        site.put(execution, TRAINING_SET, None, state=ExecutionState.COMPLETE, links=[(artifact, EventType.OUTPUT)])
    return _training_set(site, artifact)


def find(site: Site, name: str, number: int | None = None) -> TrainingSet:
    """A training set by its name; the newest of that name, or the one of a number.

    Raises:
        NotFoundError: there is none; lists or suggests.
    """
    found = references.artifacts(site, Reference("named", name, number, TRAINING_SET))
    return _training_set(site, found[0])


def _training_set(site: Site, artifact: Artifact) -> TrainingSet:
    p = artifact.properties
    name, _, number = str(artifact.name).rpartition("@")
    return TrainingSet(
        name=name,
        number=int(number),
        execution=int(str(p["execution"])),
        made_at=datetime.fromisoformat(str(p["made_at"])),
        path=site.storage.path(artifact.uri),
        sha256=str(p["sha256"]),
        rows=int(str(p["rows"])),
        spine=str(p["spine"]),
        features=tuple(json.loads(str(p["features"]))),
        versions=json.loads(str(p["versions"])),
        ttl=json.loads(str(p["ttl"])),
        time=str(p["time"]),
        as_known=bool(p["as_known"]),
        feature_set=str(p["feature_set"]),
    )


def _named(dataset: str, feature: str, column: str) -> str:
    return f"{dataset}:{feature}" + ("" if column == feature else f" as {column}")


def _digest(spine: pl.DataFrame) -> str:
    """SHA-256 of a frame's columns and rows, however they lie in memory."""
    digest = hashlib.sha256(repr(spine.schema).encode())
    for piece in spine.rechunk().iter_slices(_PIECE):
        buffer = io.BytesIO()
        piece.write_ipc_stream(buffer)
        digest.update(buffer.getbuffer())
    return digest.hexdigest()
