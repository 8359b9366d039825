"""An opened lake, as every operation is given it, and the three moments of an execution's record."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lakehouse.config import Config
from lakehouse.errors import MetadataError
from lakehouse.metadata import Ledger, PutResult
from lakehouse.records import (
    Artifact,
    Clock,
    Context,
    EventType,
    Execution,
    ExecutionState,
    Report,
    Sighting,
    Value,
    printable,
    silent,
)
from lakehouse.storage import Storage

__all__ = ["Site"]

_LONGEST_ERROR = 4000


@dataclass(frozen=True, slots=True)
class Site:
    """What operations work on.

    Attributes:
        captured: code, packages and machine, for every execution's record.
        contexts: what every execution belongs to (the run of a job, the job).
        parents: child and parent among those.
        report: told about progress.
    """

    config: Config
    storage: Storage
    ledger: Ledger
    clock: Clock
    captured: Mapping[str, Value]
    contexts: tuple[Context, ...] = ()
    parents: tuple[tuple[Context, Context], ...] = ()
    report: Report = field(default=silent)

    def begin(
        self,
        kind: str,
        about: Context,
        properties: Mapping[str, Value],
        links: Sequence[tuple[Artifact | int, EventType]] = (),
    ) -> int:
        """Record that an execution starts; its id."""
        execution = Execution(kind, state=ExecutionState.RUNNING, properties={**self.captured, **properties})
        put = self.ledger.put_execution(execution, links, (about, *self.contexts), parents=self.parents)
        return put.execution_id

    def put(  # noqa: PLR0913  # one transaction's parts, by name
        self,
        execution: int,
        kind: str,
        about: Context,
        *,
        state: ExecutionState = ExecutionState.RUNNING,
        links: Sequence[tuple[Artifact | int, EventType]] = (),
        properties: Mapping[str, Value] | None = None,
        sightings: Sequence[Sighting] = (),
    ) -> PutResult:
        """Record what an execution did so far, or that it ended, in one transaction."""
        record = Execution(kind, id=execution, state=state, properties=properties or {})
        return self.ledger.put_execution(record, links, (about, *self.contexts), sightings=sightings)

    def fail(self, execution: int, kind: str, about: Context, error: BaseException | str) -> None:
        """Record that an execution failed, and why (secrets taken out).

        Where even that cannot be written (a full disk), the record stays open and the next run settles it.
        """
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        safe = "\n".join(printable(line) for line in self.config.redact(text).splitlines())
        with contextlib.suppress(MetadataError):
            self.put(execution, kind, about, state=ExecutionState.FAILED, properties={"error": safe[:_LONGEST_ERROR]})
