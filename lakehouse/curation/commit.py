"""Making a batch visible: all of it, once, whatever happens in between.

The parts are sealed on disk, then the ledger keeps the whole plan of the commits. From that moment
the batch goes through: whoever finds the plan after a crash makes the commits that are missing (each
guarded in its table) and finishes the record. Before that moment nothing of it will ever be seen.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lakehouse import tables, timeline
from lakehouse.errors import CommitError, SchemaError
from lakehouse.faults import point
from lakehouse.records import Artifact, Context, EventType, Execution, ExecutionState, Value
from lakehouse.site import Site
from lakehouse.tables import Commit

__all__ = ["Plan", "carry_out", "prepare", "settle"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that making a batch visible needs, as the ledger keeps it until it is done.

    Attributes:
        dataset: the dataset.
        uri: the curated table, relative to the lake's root.
        offset: dataset version = offset + version of that table.
        curated: the commit to the curated table; None when there is nothing to append or supersede.
        quarantine: the commit to the quarantine table; None when no row was rejected.
        inputs: ids of the artifacts that were read.
        refused: ids of the raw files that were refused.
        rows: rows curated.
        total: rows visible afterwards.
        files: raw files curated.
        rejected: rows rejected.
    """

    dataset: str
    uri: str
    offset: int
    curated: Commit | None
    quarantine: Commit | None
    inputs: tuple[int, ...]
    refused: tuple[int, ...]
    rows: int
    total: int
    files: int
    rejected: int

    def to_json(self) -> str:
        """The plan as text."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in ("curated", "quarantine"):
            values[name] = values[name] and values[name].to_json()
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read back what `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        for name in ("curated", "quarantine"):
            values[name] = values[name] and Commit.from_json(values[name])
        return cls(**{**values, "inputs": tuple(values["inputs"]), "refused": tuple(values["refused"])})


def prepare(site: Site, execution: int, plan: Plan, properties: dict[str, Value]) -> None:
    """Keep the plan in the ledger: from here on the batch goes through."""
    about = Context("Dataset", plan.dataset)
    site.put(execution, "Curate", about, properties={**properties, "plan": plan.to_json()})
    point("curate.prepared")


def carry_out(site: Site, execution: int, plan: Plan) -> int | None:
    """Make the plan's commits and finish the record; also when some of that was done before.

    Returns:
        The dataset's new version; None when the curated table was not touched.

    Raises:
        CommitError: another process took this batch's place.
        SchemaError: the table was changed by something else meanwhile.
        StorageError: the disk refused; the next run carries the plan out.
    """
    about = Context("Dataset", plan.dataset)
    outputs: list[Artifact] = []
    try:
        if plan.quarantine is not None:
            uri = f"quarantine/{plan.dataset}"
            number = tables.append(site.storage.path(uri), plan.quarantine)
            outputs.append(_quarantine_version(plan, uri, number, execution))
            point("curate.quarantined")
        version = None
        if plan.curated is not None:
            number = tables.append(site.storage.path(plan.uri), plan.curated)
            version = plan.offset + number
            point("curate.committed")
            outputs.append(_table_version(site, plan, version, number, execution))
    except (CommitError, SchemaError) as error:  # it will never succeed: do not let it stand in the way
        site.fail(execution, "Curate", about, error)
        raise
    links: list[tuple[Artifact | int, EventType]] = [
        *[(i, EventType.INPUT) for i in plan.inputs],
        *[(i, EventType.DECLARED_INPUT) for i in plan.refused],
        *[(a, EventType.OUTPUT) for a in outputs],
    ]
    done: dict[str, Value] = {"plan": ""}
    if version is not None:
        done["version"] = version
    site.put(execution, "Curate", about, state=ExecutionState.COMPLETE, links=links, properties=done)
    point("curate.finished")
    return version


def _quarantine_version(plan: Plan, uri: str, number: int, execution: int) -> Artifact:
    return Artifact(
        "QuarantineVersion",
        name=f"{plan.dataset}@{number}",
        uri=uri,
        properties={"dataset": plan.dataset, "table_version": number, "rows": plan.rejected, "execution": execution},
    )


def _table_version(site: Site, plan: Plan, version: int, number: int, execution: int) -> Artifact:
    last = timeline.read(site.ledger, plan.dataset).last
    # Stamped after the commit, and never before the version it follows, even when the clock was set back.
    now = site.clock()
    if last is not None:
        now = max(now, last.committed_at + timedelta(microseconds=1))
    return Artifact(
        "TableVersion",
        name=f"{plan.dataset}@{version}",
        uri=plan.uri,
        properties={
            "dataset": plan.dataset,
            "version": version,
            "table_version": number,
            "committed_at": now.isoformat(),
            "execution": execution,
            "rows": plan.rows,
            "total": plan.total,
            "rejected": plan.rejected,
            "files": plan.files,
        },
    )


def settle(site: Site, dataset: str) -> list[str]:
    """Close what a killed curation left open; only call while holding the dataset's lock.

    Returns:
        One sentence an execution, for people.
    """
    about = Context("Dataset", dataset)
    told = []
    for execution in site.ledger.get_executions(
        type="Curate", state=ExecutionState.RUNNING, context=("Dataset", dataset)
    ):
        plan = str(execution.properties.get("plan", ""))
        if plan:
            carry_out(site, execution.id, Plan.from_json(plan))
            told.append(f"execution {execution.id} was interrupted while it became visible; it is whole now")
            continue
        removed = _sweep(site, dataset, execution)
        site.fail(execution.id, "Curate", about, "interrupted")
        told.append(f"execution {execution.id} was interrupted; nothing of it was visible, {removed} files were swept")
    return told


def _sweep(site: Site, dataset: str, execution: Execution) -> int:
    folder = site.storage.path(f"curated/{dataset}")
    places = [*folder.parent.glob(f"{folder.name}*"), site.storage.path(f"quarantine/{dataset}")]
    orphans = [file for place in places for file in tables.orphans(place, execution.id)]
    for file in orphans:
        file.unlink(missing_ok=True)
    return len(orphans)
