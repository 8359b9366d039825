"""The values that pass between modules: what was found, landed, curated and recorded.

Frozen, without behaviour beyond reading themselves. The first four are ML Metadata's model
(artifact, execution, context, event); the ledger stores them and nothing else knows how.
All moments are timezone-aware UTC ``datetime``.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Proto:
    """A serialized protobuf message as a value: ML Metadata's PROTO, a ``google.protobuf.Any``.

    Attributes:
        type_url: names the message's type, ``type.googleapis.com/package.Message``.
        value: the message's bytes.
    """

    type_url: str
    value: bytes


Value: TypeAlias = int | float | str | bool | Mapping[str, Any] | list[Any] | Proto
"""A property's value. A mapping or list is stored as ML Metadata's STRUCT."""


class DataType(enum.IntEnum):
    """ML Metadata's property types, with its numbers."""

    UNKNOWN = 0
    INT = 1
    DOUBLE = 2
    STRING = 3
    STRUCT = 4
    PROTO = 5
    BOOLEAN = 6


class TypeKind(enum.IntEnum):
    """What a type is a type of, with ML Metadata's numbers."""

    EXECUTION = 0
    ARTIFACT = 1
    CONTEXT = 2


class ArtifactState(enum.IntEnum):
    """ML Metadata's artifact states, with its numbers."""

    UNKNOWN = 0
    PENDING = 1
    LIVE = 2
    MARKED_FOR_DELETION = 3
    DELETED = 4
    ABANDONED = 5
    REFERENCE = 6


class ExecutionState(enum.IntEnum):
    """ML Metadata's execution states, with its numbers."""

    UNKNOWN = 0
    NEW = 1
    RUNNING = 2
    COMPLETE = 3
    FAILED = 4
    CACHED = 5
    CANCELED = 6


class EventType(enum.IntEnum):
    """How an execution touched an artifact, with ML Metadata's numbers.

    A curation links the raw files it read by INPUT, and those it refused by DECLARED_INPUT.
    """

    UNKNOWN = 0
    DECLARED_OUTPUT = 1
    DECLARED_INPUT = 2
    INPUT = 3
    OUTPUT = 4
    INTERNAL_INPUT = 5
    INTERNAL_OUTPUT = 6
    PENDING_OUTPUT = 7


@dataclass(frozen=True, slots=True)
class Type:
    """What the artifacts, executions or contexts of a name have for properties.

    Attributes:
        version: tells types of one name and kind apart; None is a version of its own.
        base: the built-in type it stands under, such as ``mlmd.Dataset``; None where it has none.
        external_id: unique across all types.
        input_type: of an execution type, what it reads: ML Metadata's ``ArtifactStructType`` as JSON.
        output_type: of an execution type, what it makes, likewise.
        id: 0 until stored.
    """

    kind: TypeKind
    name: str
    properties: Mapping[str, DataType] = field(default_factory=dict)
    version: str | None = None
    description: str | None = None
    base: str | None = None
    external_id: str | None = None
    input_type: str | None = None
    output_type: str | None = None
    id: int = 0


@dataclass(frozen=True, slots=True)
class Artifact:
    """A thing that was made or found: a raw file, a table version.

    Attributes:
        type: ``RawFile``, ``TableVersion``, ``QuarantineVersion``, ``Schema``, ``Statistics``, ``Anomalies``, or
            a user's own.
        name: unique within its type, or None.
        uri: where it lies, relative to the lake's root.
        external_id: unique across all artifacts (a content hash makes putting it twice once).
        id: 0 until stored.
        type_id: the stored type's id, which tells versions of a type apart; 0 goes by the type's name.
    """

    type: str
    name: str | None = None
    uri: str = ""
    external_id: str | None = None
    state: ArtifactState = ArtifactState.LIVE
    properties: Mapping[str, Value] = field(default_factory=dict)
    custom_properties: Mapping[str, Value] = field(default_factory=dict)
    id: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    type_id: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Execution:
    """A step that ran: ``Land`` or ``Curate``, with what it needed to be repeated."""

    type: str
    name: str | None = None
    external_id: str | None = None
    state: ExecutionState = ExecutionState.NEW
    properties: Mapping[str, Value] = field(default_factory=dict)
    custom_properties: Mapping[str, Value] = field(default_factory=dict)
    id: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    type_id: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Context:
    """What executions and artifacts belong to: a ``Source``, ``Dataset``, ``Job`` or ``Run``."""

    type: str
    name: str
    external_id: str | None = None
    properties: Mapping[str, Value] = field(default_factory=dict)
    custom_properties: Mapping[str, Value] = field(default_factory=dict)
    id: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    type_id: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Event:
    """One execution touched one artifact, at one moment.

    Attributes:
        path: where in the execution's inputs or outputs the artifact stood: keys and indices.
    """

    artifact_id: int
    execution_id: int
    type: EventType
    at: datetime | None = None
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a record that was deleted.

    Attributes:
        kind: what it was.
        id: what it had; no other record is ever given it.
        type: the name of its type.
        uri: an artifact's; "" for others.
        reason: why it was deleted, as whoever did it said.
        events: those that linked it with others.
    """

    kind: TypeKind
    id: int
    type: str
    name: str | None
    external_id: str | None
    uri: str
    deleted_at: datetime | None
    reason: str
    events: tuple[Event, ...] = ()


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
    """

    id: int
    source: str
    sha256: str
    size: int
    name: str
    uri: str
    landed_at: datetime


def raw_id(source: str, sha256: str) -> str:
    """A raw file's external id in the ledger: landing the same bytes twice is one artifact."""
    return f"{source}/{sha256}"


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should know that did not stop the run (or stopped one file of it).

    Attributes:
        kind: of files ``refused``, ``failed``, ``settling``, ``duplicate``, ``changed``, ``empty``,
            ``skipped``; of rows ``rejected``, ``older``; of columns ``new_column``,
            ``missing_column``; ``anomaly`` of a batch as a whole; ``recovered`` of what a crash left;
            ``openlineage`` of events not delivered.
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
    """What one ``curate`` did. ``read == curated + rejected`` always.

    Attributes:
        version: the dataset's version this made; None when nothing was appended.
        execution: 0 when there was nothing pending.
        refused: files refused as a whole (their rows are not in ``read``).
        anomalies: what is odd about the batches, counted.
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
    """One state of a dataset. ``rows`` were appended by it; ``total`` are visible at it.

    Attributes:
        anomalies: how many were found in what was appended; None where that was not measured.
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


@dataclass(frozen=True, slots=True)
class Trace:
    """Where one row came from: the raw file, the line in it, and that line's text.

    Attributes:
        row: 1-based number of the record in the file (header, blank and comment lines not counted).
        line: 1-based number of the line the record starts on; None where a format has no lines.
    """

    dataset: str
    sha256: str
    source: str
    origins: tuple[str, ...]
    path: str
    row: int
    line: int | None
    text: str


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
