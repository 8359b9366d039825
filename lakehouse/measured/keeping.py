"""The files that a curation's measuring leaves, and what the ledger says of them.

``statistics/<subject>/<dataset>/<execution>/`` below the lake's root holds ``statistics.parquet`` (of the batch's
curated rows), ``anomalies.json`` (what was odd about the batch) and now and then ``total.parquet`` (of all rows that
count after the batch). They are written before the batch can become visible, and go with a batch that never did.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

from lakehouse.errors import FormatError
from lakehouse.metadata import Ledger
from lakehouse.records import Artifact, Value
from lakehouse.schema import Severity
from lakehouse.site import Site
from lakehouse.storage import Storage, refused
from lakehouse.validation.anomalies import Anomalies
from lakehouse.validation.statistics import Statistics

__all__ = [
    "ZONE",
    "Kept",
    "discard",
    "execution_of",
    "found",
    "highest",
    "keep",
    "kept",
    "kept_among",
    "kept_of",
    "read",
    "uri_of",
]

ZONE = "statistics"
_STATISTICS, _ANOMALIES, _TOTAL = "statistics.parquet", "anomalies.json", "total.parquet"
_NAMES = "|".join(map(re.escape, (_STATISTICS, _ANOMALIES, _TOTAL)))
_FILE = re.compile(rf"{ZONE}/[^/]+/[^/]+/([0-9]{{1,18}})/(?:{_NAMES})", re.ASCII)
_TOLD = 20  # anomalies named in the ledger; all of them are in the file


@dataclass(frozen=True, slots=True)
class Kept:
    """What the ledger says of a curation's kept statistics.

    Attributes:
        execution: the curation.
        rows: rows it curated.
        at: the day that the batch is of.
        again: whether it took raw files in again that had been curated before.
        kept_at: when it was recorded.
        personal: the columns whose values were left out.
        uri: the file, relative to the lake's root.
        sha256: of the file.
        total: sha256 of the file beside it with the statistics of all rows that counted then; "" where there is none.
    """

    execution: int
    rows: int
    at: date
    again: bool
    kept_at: datetime | None
    personal: frozenset[str]
    uri: str
    sha256: str
    total: str = ""

    @property
    def total_uri(self) -> str:
        """Where the total lies."""
        return f"{self.uri.rpartition('/')[0]}/{_TOTAL}"

    @classmethod
    def of(cls, artifact: Artifact) -> Kept:
        """What a ``Statistics`` artifact says."""
        p = artifact.properties
        return cls(
            execution=int(str(p["execution"])),
            rows=int(str(p["rows"])),
            at=date.fromisoformat(str(p["at"])),
            again=bool(p["again"]),
            kept_at=artifact.created_at,
            personal=frozenset(json.loads(str(p["personal"]))),
            uri=artifact.uri,
            sha256=str(p["sha256"]),
            total=str(p.get("total", "")),
        )


def uri_of(dataset: str, execution: int) -> str:
    """The folder of what a curation measured, relative to the lake's root."""
    return f"{ZONE}/{dataset}/{execution}"


def keep(  # noqa: PLR0913  # a batch's parts, by name
    site: Site,
    dataset: str,
    execution: int,
    *,
    anomalies: Anomalies,
    statistics: Statistics | None = None,
    total: Statistics | None = None,
    at: date,
    again: bool = False,
    personal: Collection[str] = (),
) -> tuple[Artifact, ...]:
    """Write a batch's files, and wait until they are on the disk.

    Args:
        site: the opened lake.
        dataset: the dataset.
        execution: the curation.
        anomalies: what is odd about the batch.
        statistics: of the batch's curated rows; None for a batch that is refused.
        total: of all rows that count after the batch, where that is to be kept.
        at: the day that the batch is of.
        again: whether its raw files had been curated before.
        personal: the columns whose values the statistics leave out.

    Returns:
        The artifacts to record, ``Statistics`` first.

    Raises:
        StorageError: the disk refused.
    """
    folder = uri_of(dataset, execution)
    files = {_ANOMALIES: anomalies.to_json().encode("utf-8", "backslashreplace")}
    if statistics is not None:
        files[_STATISTICS] = statistics.to_bytes()
    if total is not None:
        files[_TOTAL] = total.to_bytes()
    site.storage.write_folder(folder, files)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    about: dict[str, Value] = {"dataset": dataset, "execution": execution}
    made = []
    if statistics is not None:
        known: dict[str, Value] = {
            **about,
            "rows": statistics.rows,
            "at": at.isoformat(),
            "again": again,
            "personal": json.dumps(sorted(personal), ensure_ascii=False),
            "sha256": hashes[_STATISTICS],
            **({} if total is None else {"total": hashes[_TOTAL]}),
        }
        made.append(Artifact("Statistics", f"{dataset}@{execution}", f"{folder}/{_STATISTICS}", properties=known))
    told: dict[str, Value] = {**about, **_counted(anomalies), "sha256": hashes[_ANOMALIES]}
    made.append(Artifact("Anomalies", f"{dataset}@{execution}", f"{folder}/{_ANOMALIES}", properties=told))
    return tuple(made)


def _counted(anomalies: Anomalies) -> dict[str, Value]:
    """How many anomalies of each severity, and which."""
    severities = Counter(anomaly.severity for anomaly in anomalies.anomalies)
    listed = [[a.path, a.kind.value, a.severity.value, a.action.value, a.short] for a in anomalies.anomalies[:_TOLD]]
    return {
        "rows": anomalies.rows,
        "errors": severities[Severity.ERROR],
        "warnings": severities[Severity.WARNING],
        **({"found": json.dumps(listed, ensure_ascii=False)} if listed else {}),
    }


def kept_of(ledger: Ledger, dataset: str, execution: int) -> Kept | None:
    """What the ledger says of the statistics that one curation kept; None where it kept none."""
    return kept_among(ledger, dataset, [execution]).get(execution)


def kept_among(ledger: Ledger, dataset: str, executions: Collection[int]) -> dict[int, Kept]:
    """What the ledger says of the statistics that some curations kept, by execution; those that kept any."""
    made = ledger.get_artifacts(type="Statistics", names=[f"{dataset}@{execution}" for execution in executions])
    return {(one := Kept.of(artifact)).execution: one for artifact in made if "sha256" in artifact.properties}


def kept(ledger: Ledger, dataset: str) -> list[Kept]:
    """What the ledger says of the statistics that a dataset's curations kept, the newest first."""
    made = ledger.get_artifacts(type="Statistics", context=("Dataset", dataset), newest_first=True)
    return [Kept.of(artifact) for artifact in made if "sha256" in artifact.properties]  # not another program's


def read(storage: Storage, uri: str, sha256: str) -> Statistics | None:
    """Statistics out of a kept file; None where it is gone, or not what was written."""
    data = _bytes(storage, uri, sha256)
    try:
        return None if data is None else Statistics.read(data)
    except FormatError:  # a form that this release does not read
        return None


def found(site: Site, dataset: str, execution: int) -> Anomalies | None:
    """The anomalies that a curation kept; None where it kept none, or the file is gone or was changed."""
    made = site.ledger.get_artifacts(type="Anomalies", names=[f"{dataset}@{execution}"])
    data = _bytes(site.storage, made[0].uri, str(made[0].properties["sha256"])) if made else None
    try:
        return None if data is None else Anomalies.from_json(data)
    except ValueError:
        return None


def _bytes(storage: Storage, uri: str, sha256: str) -> bytes | None:
    try:
        data = storage.path(uri).read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == sha256 else None


def discard(storage: Storage, dataset: str, execution: int) -> int:
    """Remove the files of a curation that never became visible; how many there were.

    Raises:
        StorageError: the disk refused.
    """
    folder = storage.path(uri_of(dataset, execution))
    with refused(f"sweeping {folder}"):
        if not folder.is_dir():
            return 0
        count = sum(1 for _ in folder.iterdir())
        shutil.rmtree(folder)
    return count


def execution_of(uri: str) -> int | None:
    """The curation that a file in this zone is of; None where no curation leaves such a file."""
    match = _FILE.fullmatch(uri)
    return int(match[1]) if match else None


def highest(storage: Storage) -> int:
    """The highest execution that left a folder here; 0 where there is none."""
    names = (entry.name for entry in storage.path(ZONE).glob("*/*/*"))
    return max((int(name) for name in names if name.isdecimal()), default=0)
