"""An opened lake, as every operation is given it, and the three moments of an execution's record."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lakehouse import receipts
from lakehouse.config import Config
from lakehouse.errors import CommitError, MetadataError, NotFoundError, StorageError, nearest
from lakehouse.faults import point
from lakehouse.metadata import Ledger, PutResult
from lakehouse.records import (
    Artifact,
    Clock,
    Context,
    EventType,
    Execution,
    ExecutionState,
    Interval,
    Note,
    Report,
    Sighting,
    TypeKind,
    Value,
    printable,
    silent,
)
from lakehouse.storage import Storage

__all__ = ["INTERRUPTED", "Listener", "Site", "behind"]

INTERRUPTED = "interrupted"
"""The error of an execution whose process ended before it did."""

_LONGEST_ERROR = 4000


def behind(what: str) -> MetadataError:
    """The error of a ledger that does not know something that it once knew."""
    return MetadataError(
        f"the ledger does not know {what}: it is older than the lake, such as one brought back from a backup. Nothing "
        "was written. Run `lakehouse check --repair`: it puts back what the ledger lacks"
    )


class Listener:
    """Told whenever an execution or a run of a job begins or ends, after the ledger knows; this one tells nobody.

    None of its methods raises, and none takes long: what it does must not get in the way of the work.
    """

    def execution(self, ledger: Ledger, execution: int, contexts: Sequence[Context]) -> None:
        """An execution began or ended, as its record says; ``contexts`` is the run and job that is under way."""

    def run(self, contexts: Sequence[Context], state: ExecutionState, error: str = "") -> None:
        """A run of a job began (RUNNING) or ended; its errors are safe to tell."""

    def settle(self) -> tuple[Note, ...]:
        """Finish what can be finished soon; what went wrong since the last time, for people."""
        return ()

    def close(self) -> None:
        """Finish what can be finished soon, and stop."""


@dataclass(frozen=True, slots=True)
class Site:
    """What operations work on.

    Attributes:
        captured: code, packages and machine, for every execution's record.
        contexts: what every execution belongs to (the run of a job, the job).
        parents: child and parent among those.
        report: told about progress.
        listener: told about executions and runs.
        run: the execution of the run of a job that this is part of; None outside of one.
        interval: the stretch of time that sources are asked for; None asks for whatever is there.
        pinned: the versions that a lock pins, by dataset; None where the lake was opened without one.
    """

    config: Config
    storage: Storage
    ledger: Ledger
    clock: Clock
    captured: Mapping[str, Value]
    contexts: tuple[Context, ...] = ()
    parents: tuple[tuple[Context, Context], ...] = ()
    report: Report = field(default=silent)
    listener: Listener = field(default_factory=Listener)
    run: int | None = None
    interval: Interval | None = None
    pinned: Mapping[str, int] | None = None

    def pin(self, dataset: str) -> int | None:
        """The version that is read of a dataset where none is asked for; None for the newest.

        Raises:
            NotFoundError: the lake was opened with a lock that does not name the dataset.
        """
        if self.pinned is None or dataset in self.pinned:
            return (self.pinned or {}).get(dataset)
        raise NotFoundError(
            f"the lock names no version of '{printable(dataset)}'.{nearest(dataset, self.pinned)} Say which version is "
            "meant, or run `lakehouse pin` once more"
        )

    @contextlib.contextmanager
    def step(
        self, kind: str, properties: Mapping[str, Value], links: Sequence[tuple[Artifact | int, EventType]] = ()
    ) -> Iterator[int]:
        """Record a step that is of no one source or dataset from its start; its id.

        Whoever takes it records its good end, by `put`. One that raises is marked failed; one whose process is killed
        by the next that calls `close_steps`.
        """
        self.close_steps()
        token = uuid.uuid4().hex
        # Held until the step ends, however it ends: whoever can take it finds that the step's process died.
        with self.storage.lock("execution", token, wait=0, keep=False):
            execution = self.begin(kind, None, {**properties, "process": token}, links)
            try:
                yield execution
            except BaseException as error:
                self.fail(execution, kind, None, error)
                raise

    def close_steps(self) -> None:
        """Close the records of steps whose process was killed.

        Raises:
            MetadataError: one of them left a receipt, so it did end: the ledger is older than the lake.
        """
        for found in self.ledger.get_executions(state=ExecutionState.RUNNING, only=["process"]):
            token = found.properties.get("process")
            if not isinstance(token, str):
                continue
            with contextlib.suppress(CommitError), self.storage.lock("execution", token, wait=0, keep=False):
                # It may have ended since it was looked up.
                if self.ledger.get_executions(ids=[found.id])[0].state is ExecutionState.RUNNING:
                    self.unended(found.id)
                    self.fail(found.id, found.type, None, INTERRUPTED)

    def begin(
        self,
        kind: str,
        about: Context | None,
        properties: Mapping[str, Value],
        links: Sequence[tuple[Artifact | int, EventType]] = (),
        *,
        parameters: Mapping[str, Value] | None = None,
    ) -> int:
        """Record that an execution starts; its id. Parameters are what its user gave it, its custom properties.

        Raises:
            MetadataError: the ledger is older than the lake (`abreast`); nothing was recorded.
        """
        self.abreast()
        known = {**self.captured, **properties}
        execution = Execution(kind, state=ExecutionState.RUNNING, properties=known, custom_properties=parameters or {})
        put = self.ledger.put_execution(execution, links, self._contexts(about), parents=self.parents)
        self.told(put.execution_id)
        return put.execution_id

    def abreast(self) -> None:
        """Make sure that the ledger is this lake's and not older: else work is done twice, under numbers given twice.

        Raises:
            MetadataError: it does not know the newest receipt's execution, or knows another one of that number.
        """
        newest = receipts.newest(self.storage.path(receipts.ZONE))
        begun = newest and receipts.begun(self.storage.path(receipts.uri_of(newest)))
        if not newest or begun is None:  # a damaged one tells nothing
            return
        for known in self.ledger.get_executions(ids=[newest], only=()):
            if (known.type, known.created_at) != begun:
                raise MetadataError(
                    f"what the ledger says of execution:{newest} is not what its receipt in the lake says: it is the "
                    "ledger of another lake, or one that went on from an older copy. Nothing was written. Correct "
                    "`metadata:` in lakehouse.yaml, or run `lakehouse check --repair`"
                )
            return
        if not self.ledger.tombstones(kind=TypeKind.EXECUTION, ids=[newest]):
            raise behind(f"execution:{newest}, which left a receipt")

    def interrupted(self, kind: str, about: Context) -> list[Execution]:
        """The executions whose process ended before they did; only call while nobody else may run one.

        Raises:
            MetadataError: one of them left a receipt, so it did end: the ledger is older than the lake.
        """
        found = self.ledger.get_executions(type=kind, state=ExecutionState.RUNNING, context=(about.type, about.name))
        for execution in found:
            self.unended(execution.id)
        return found

    def unended(self, execution: int) -> None:
        """Make sure that an execution that the ledger has as open did not end: else its receipt is written over.

        Raises:
            MetadataError: it left a receipt; the ledger is older than the lake.
        """
        with contextlib.suppress(OSError, ValueError):  # a damaged one tells nothing
            receipts.Receipt.from_json(self.storage.path(receipts.uri_of(execution)).read_bytes())
            raise behind(f"how execution:{execution} ended, which left a receipt")

    def put(  # noqa: PLR0913  # one transaction's parts, by name
        self,
        execution: int,
        kind: str,
        about: Context | None,
        *,
        state: ExecutionState = ExecutionState.RUNNING,
        links: Sequence[tuple[Artifact | int, EventType]] = (),
        properties: Mapping[str, Value] | None = None,
        custom_properties: Mapping[str, Value] | None = None,
        sightings: Sequence[Sighting] = (),
    ) -> PutResult:
        """Record what an execution did so far, or that it ended, in one transaction."""
        record = Execution(
            kind, id=execution, state=state, properties=properties or {}, custom_properties=custom_properties or {}
        )
        put = self.ledger.put_execution(record, links, self._contexts(about), sightings=sightings)
        if state is not ExecutionState.RUNNING:
            point("site.ended")
            self.told(execution)
            self.keep([execution])
        return put

    def keep(self, executions: Collection[int]) -> None:
        """Keep the receipts of executions that ended, so that the ledger can be made again without it.

        Where that cannot be written (a full disk), nothing is lost: the ledger is whole, and the next run
        or `check --repair` writes what is missing.
        """
        with contextlib.suppress(StorageError):
            for receipt in self.ledger.receipts(executions):
                self.storage.write(receipts.uri_of(receipt.execution.id), receipt.to_json().encode())

    def keep_newest(self, kind: str, about: Context) -> None:
        """Keep the receipt of the last execution where its process ended before that.

        Raises:
            MetadataError: the ledger is not this lake's, or older (`abreast`).
        """
        newest = self.ledger.get_executions(type=kind, context=(about.type, about.name), newest_first=True, limit=1)
        missing = [e.id for e in newest if not self.storage.path(receipts.uri_of(e.id)).exists()]
        if missing:
            self.abreast()
        for execution in missing:  # whose end may not have been told either
            self.told(execution)
        self.keep(missing)

    def fail(self, execution: int, kind: str, about: Context | None, error: BaseException | str) -> None:
        """Record that an execution failed, and why (secrets taken out).

        Where even that cannot be written (a full disk), the record stays open and the next run settles it.
        """
        safe = self.redacted(error)
        with contextlib.suppress(MetadataError):
            self.put(execution, kind, about, state=ExecutionState.FAILED, properties={"error": safe})

    def redacted(self, error: BaseException | str) -> str:
        """An error as it may be kept and told: printable, not too long, secrets taken out."""
        try:
            text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        except Exception:  # noqa: BLE001  # an error of a user's own may fail to say what it is
            text = f"{type(error).__name__}: (it cannot be told)"
        return "\n".join(printable(line) for line in self.config.redact(text).splitlines())[:_LONGEST_ERROR]

    def told(self, execution: int) -> None:
        """Let the listener know that an execution began or ended."""
        self.listener.execution(self.ledger, execution, self.contexts)

    def _contexts(self, about: Context | None) -> tuple[Context, ...]:
        return self.contexts if about is None else (about, *self.contexts)
