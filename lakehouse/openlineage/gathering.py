"""An execution with what belongs to it, as the ledger has it at this moment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lakehouse.metadata import Ledger
from lakehouse.records import MAKERS, Artifact, Context, EventType, Execution, ExecutionState

__all__ = ["Step", "gather"]

_MOST = 1000  # artifacts of a user's execution that are told
_FIRST = 100  # artifacts of a curation among which its schemas and code tables are


@dataclass(frozen=True, slots=True)
class Step:
    """An execution.

    Attributes:
        contexts: what it belongs to.
        inputs: what it read; of a curation no raw files, as these may be thousands.
        outputs: what it made; nothing for a landing, for the same reason.
    """

    record: Execution
    contexts: tuple[Context, ...]
    inputs: tuple[Artifact, ...]
    outputs: tuple[Artifact, ...]

    @property
    def about(self) -> str:
        """The source that was landed or the dataset that was curated."""
        kind = "Source" if self.record.type == "Land" else "Dataset" if self.record.type in MAKERS else ""
        return next((context.name for context in self.contexts if context.type == kind), "")

    @property
    def run(self) -> str | None:
        """The run of a job in which it began; None for one that was done by itself.

        Whoever settles an interrupted execution adds it to its own run, which began later.
        """
        begun = self.record.created_at
        mine = (c.name for c in self.contexts if c.type == "Run" and c.created_at and begun and c.created_at <= begun)
        return next(mine, None)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.record.state not in (ExecutionState.UNKNOWN, ExecutionState.NEW, ExecutionState.RUNNING)

    def number(self, name: str) -> int | None:
        """A count among its properties; None where it has none."""
        value = self.record.properties.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def table(self, name: str) -> dict[str, Any]:
        """A JSON object among its properties; empty where it has none."""
        text = str(self.record.properties.get(name) or "{}")
        return dict(json.loads(text))


def gather(ledger: Ledger, execution: int) -> Step:
    """Read an execution.

    Raises:
        MetadataError: the ledger's database failed.
    """
    (record,) = ledger.get_executions(ids=[execution])
    contexts = tuple(ledger.get_contexts_of([execution])[execution])
    if record.type == "Land":
        return Step(record, contexts, (), ())
    read = ledger.get_events(execution_ids=[execution], types=[EventType.INPUT, EventType.DECLARED_INPUT])
    made = ledger.get_events(execution_ids=[execution], types=[EventType.OUTPUT, EventType.DECLARED_OUTPUT])
    # The schemas and code tables of a curation are linked as it begins, so before any raw file.
    inputs = [event.artifact_id for event in read[: _FIRST if record.type == "Curate" else _MOST]]
    outputs = [event.artifact_id for event in made[:_MOST]]
    found = {artifact.id: artifact for artifact in ledger.get_artifacts(ids={*inputs, *outputs})}
    if record.type == "Curate":
        inputs = [i for i in inputs if found[i].type != "RawFile"]
    return Step(record, contexts, tuple(found[i] for i in inputs), tuple(found[i] for i in outputs))
