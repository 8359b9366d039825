"""What was found, landed, curated and read back: the values that operations give to their callers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias, cast

from lakehouse.records.nodes import Value

__all__ = [
    "Clock",
    "Curated",
    "Fidelity",
    "Interval",
    "Landed",
    "Note",
    "Progress",
    "Ran",
    "RawFile",
    "Repaired",
    "Report",
    "Sighting",
    "Tag",
    "Trace",
    "Version",
    "fidelity_of",
    "printable",
    "raw_id",
    "said_of",
    "silent",
    "utc_now",
]


Fidelity: TypeAlias = Literal["bytes", "wire", "extract"]
"""How near raw bytes are to what the source holds: ``bytes``, a file as it lay there; ``wire``, what a server sent, in
its own exact text; ``extract``, values that a client read and wrote down in a form of its own."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of time that data is asked for: from ``start`` on, up to ``end`` and without it; both UTC."""

    start: datetime
    end: datetime

    def plain(self) -> dict[str, str]:
        """As JSON's own types."""
        return {"start": self.start.isoformat(), "end": self.end.isoformat()}


@dataclass(frozen=True, slots=True)
class Sighting:
    """A source was seen to hold these bytes under this origin.

    The ledger keeps every sighting; the newest of an origin says what lies there now, so a file
    is new by origin, size, time and content, and never by a high-water mark.

    Attributes:
        origin: the address at the source (a path, a URL).
        size: bytes.
        modified: the source's own mark of change: mtime in nanoseconds, or an HTTP
            ``ETag``/``Last-Modified``; "" when it has none.
    """

    source: str
    origin: str
    size: int
    modified: str
    sha256: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class RawFile:
    """Landed bytes: stored once by content under the raw zone, never changed.

    Attributes:
        uri: the file, relative to the lake's root.
        id: the artifact's id in the ledger.
        fidelity: how near the bytes are to what the source held.
    """

    id: int
    source: str
    sha256: str
    size: int
    name: str
    uri: str
    landed_at: datetime
    fidelity: Fidelity = "bytes"


def fidelity_of(said: Mapping[str, object]) -> Fidelity:
    """The label among what is said of a raw file; files landed before 0.5 have none, and are the bytes themselves."""
    return cast("Fidelity", said.get("fidelity", "bytes"))


def said_of(manifest: Mapping[str, object]) -> dict[str, Value]:
    """What a manifest says of its bytes, as the ledger keeps it: ``fidelity``, and ``facts`` as JSON."""
    said: dict[str, Value] = {"fidelity": str(manifest["fidelity"])} if "fidelity" in manifest else {}
    if "facts" in manifest:
        said["facts"] = json.dumps(manifest["facts"], ensure_ascii=False, sort_keys=True)
    return said


def raw_id(source: str, sha256: str) -> str:
    """A raw file's external id in the ledger: landing the same bytes twice is one artifact."""
    return f"{source}/{sha256}"


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know that did not stop the run (or stopped one file of it).

    Attributes:
        kind: of files ``refused``, ``failed``, ``settling``, ``duplicate``, ``changed``, ``empty``,
            ``skipped``, ``format`` (how one is read); of rows ``rejected``, ``older``, ``duplicates``; of keys
            ``withheld``; of columns ``new_column``, ``missing_column``; ``stale`` of a dataset made of an older state
            of another than there could be; ``anomaly`` of a batch as a whole; ``recovered`` of what a crash left;
            ``retention`` of what is older than a dataset is to be kept; ``openlineage`` of events not delivered.
        where: the file, dataset or column it is about, safe to print.
    """

    kind: str
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Landed:
    """What one ``land`` did. Counts are of files, ``size`` is bytes newly stored."""

    source: str
    execution: int
    files: int = 0
    new: int = 0
    unchanged: int = 0
    duplicates: int = 0
    settling: int = 0
    failed: int = 0
    size: int = 0
    seconds: float = 0.0
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Curated:
    """What one ``curate`` did. ``read == curated + rejected + unchanged + duplicates`` always.

    Attributes:
        version: the dataset's version this made; None when nothing was appended.
        execution: 0 when there was nothing pending.
        refused: files refused as a whole (their rows are not in ``read``).
        anomalies: what is odd about the batches, counted.
        unchanged: rows of snapshots that say what is known already; nothing is appended for them.
        duplicates: rows of a snapshot whose key comes again later in it; that later row counts.
        deleted: keys that a snapshot no longer holds; each appends a row that is in no file.
    """

    dataset: str
    execution: int = 0
    version: int | None = None
    files: int = 0
    refused: int = 0
    read: int = 0
    curated: int = 0
    rejected: int = 0
    size: int = 0
    seconds: float = 0.0
    notes: tuple[Note, ...] = ()
    anomalies: int = 0
    unchanged: int = 0
    duplicates: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class Ran:
    """What one run of a job did, step by step. ``ok`` decides the exit status; ``notes`` are of no single step."""

    job: str
    run: str
    landed: tuple[Landed, ...] = ()
    curated: tuple[Curated, ...] = ()
    errors: tuple[str, ...] = ()
    seconds: float = 0.0
    notes: tuple[Note, ...] = ()

    @property
    def ok(self) -> bool:
        """No error, no file refused, nothing that the outside world failed to give."""
        last = {step.source: step for step in self.landed}.values()  # of a source that was tried again
        return not self.errors and not any(c.refused for c in self.curated) and not any(s.failed for s in last)


@dataclass(frozen=True, slots=True)
class Repaired:
    """What one repair did.

    Attributes:
        rebuilt: why the ledger was made again; "" where it was not.
        set_aside: where the ledger that was there is now; "" where none was.
        restored: executions put back.
        approximate: those of them that left no receipt: put back from other traces, as far as these go.
        lost: numbers that were given to executions which left too little in the lake.
        settled: executions that were open and are ended now, one sentence each.
        receipts: receipts written.
        manifests: manifests written.
    """

    rebuilt: str = ""
    set_aside: str = ""
    restored: int = 0
    approximate: tuple[int, ...] = ()
    lost: int = 0
    settled: tuple[str, ...] = ()
    receipts: int = 0
    manifests: int = 0


@dataclass(frozen=True, slots=True)
class Version:
    """One state of a dataset. ``rows`` were appended by it; ``total`` of all that was appended count at it.

    Attributes:
        anomalies: how many were found in what was appended; None where that was not measured.
        history: its load kind then: ``events``, ``changes`` or ``snapshots``; ``keys`` likewise.
        width: how many columns its table had; later ones are to the right. None where that was not recorded.
        run: the execution of the run of a job that made it, at whose end it becomes visible to ``as_of`` reads;
            None for one made by hand.
        visible_at: since when ``as_of`` reads show it, as `Lake.history` tells: when it was committed, or when the
            run of a job that made it ended. None while that run is under way, and where it was not asked for.
    """

    dataset: str
    version: int
    committed_at: datetime
    execution: int
    rows: int
    total: int
    rejected: int
    files: int
    uri: str
    table_version: int
    anomalies: int | None = None
    history: Literal["events", "changes", "snapshots"] = "events"
    keys: tuple[str, ...] = ()
    width: int | None = None
    run: int | None = None
    visible_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Tag:
    """A name for versions of datasets, all as they were visible at one moment. It never comes to mean others.

    Attributes:
        moment: the moment, UTC.
        versions: each dataset's version.
        description: for people.
        execution: that recorded it.
        manifest: of a tag that was imported, the sha256 of its export's manifest: the versions are another lake's, and
            the rows lie in the raw zone. "" for one of this lake's own versions.
    """

    name: str
    moment: datetime
    versions: Mapping[str, int]
    description: str = ""
    execution: int = 0
    manifest: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """Where one row came from: the raw file, the line in it, and that line's text.

    Attributes:
        row: 1-based number of the record in the file (header, blank and comment lines not counted); None for the row
            of a snapshot that says that a key is absent from the file.
        line: 1-based number of the line the record starts on; None where a format has no lines.
        member: the member of an archive that the record is in, and the line with it; "" outside of archives.
        fidelity: how near the raw file's bytes are to what its source held.
    """

    dataset: str
    sha256: str
    source: str
    origins: tuple[str, ...]
    path: str
    row: int | None
    line: int | None
    text: str
    member: str = ""
    fidelity: Fidelity = "bytes"


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of work under way. ``total`` is None where it is not known beforehand.

    Attributes:
        step: ``land`` or ``curate``.
        subject: the source or dataset.
        unit: ``files``, ``bytes`` or ``rows``.
    """

    step: str
    subject: str
    done: int
    total: int | None
    unit: str
    finished: bool = False


Report: TypeAlias = Callable[[Progress], None]
Clock: TypeAlias = Callable[[], datetime]


def silent(_: Progress) -> None:
    """The report that says nothing."""


def utc_now() -> datetime:
    """The real clock, in UTC. Everything that needs the time takes a clock as an argument."""
    return datetime.now(UTC)


def printable(text: str) -> str:
    """A name as it can be shown on one line: control characters escaped, nothing else changed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
