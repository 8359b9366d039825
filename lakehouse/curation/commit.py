"""Making a batch visible: all of it, once, whatever happens in between.

The parts are sealed on disk, then the ledger keeps the whole plan of the commits. From that moment
the batch goes through: whoever finds the plan after a crash makes the commits that are missing (each
guarded in its table) and finishes the record. Before that moment nothing of it will ever be seen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lakehouse import measured, tables, timeline, views
from lakehouse.errors import CommitError, SchemaError, StorageError
from lakehouse.faults import point
from lakehouse.records import MAKERS, Artifact, Context, EventType, Execution, ExecutionState, Value
from lakehouse.site import INTERRUPTED, Site, behind
from lakehouse.tables import Commit

__all__ = ["Plan", "abreast", "carry_out", "following", "prepare", "quarantine_version", "settle", "table_version"]


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
        looked: what was looked at, when this is the last of all that came of it; else "".
        kept: what was measured of the batch, as it is kept beside the tables.
        anomalies: how many there are in the batch; None when it was not measured.
        history: the load kind that the rows are of.
        keys: the columns that tell one thing from another.
        width: how many columns the table has with this batch.
        run: the execution of the run of a job that the batch is made in; None for one made by hand.
        kind: the type of the execution.
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
    looked: str = ""
    kept: tuple[Artifact, ...] = ()
    anomalies: int | None = None
    history: str = "events"
    keys: tuple[str, ...] = ()
    width: int | None = None
    run: int | None = None
    kind: str = "Curate"

    def to_json(self) -> str:
        """The plan as text."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in ("curated", "quarantine"):
            values[name] = values[name] and values[name].to_json()
        values["kept"] = [[a.type, a.name, a.uri, dict(a.properties)] for a in self.kept]
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read back what `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        for name in ("curated", "quarantine"):
            values[name] = values[name] and Commit.from_json(values[name])
        for name in ("inputs", "refused", "keys"):
            values[name] = tuple(values.get(name, ()))
        values["kept"] = tuple(
            Artifact(kind, name, uri, properties=said) for kind, name, uri, said in values.get("kept", ())
        )
        return cls(**values)


def prepare(site: Site, execution: int, plan: Plan, properties: dict[str, Value]) -> None:
    """Keep the plan in the ledger: from here on the batch goes through."""
    about = Context("Dataset", plan.dataset)
    site.put(execution, plan.kind, about, properties={**properties, "plan": plan.to_json()})
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
            outputs.append(quarantine_version(plan, number, execution))
            point("curate.quarantined")
        version = None
        if plan.curated is not None:
            number = tables.append(site.storage.path(plan.uri), plan.curated)
            version = plan.offset + number
            point("curate.committed")
            # What a killed run left to another becomes visible with what that one makes.
            made = plan if site.run is None else dataclasses.replace(plan, run=site.run)
            # Stamped after the commit, and never before the version it follows, even when the clock was set back.
            outputs.append(table_version(made, number, execution, following(_last(site, plan), site.clock())))
    except (CommitError, SchemaError) as error:  # it will never succeed: do not let it stand in the way
        with contextlib.suppress(StorageError):  # a check tells what is left
            measured.discard(site.storage, plan.dataset, execution)
        site.fail(execution, plan.kind, about, error)
        raise
    links: list[tuple[Artifact | int, EventType]] = [
        *[(i, EventType.INPUT) for i in plan.inputs],
        *[(i, EventType.DECLARED_INPUT) for i in plan.refused],
        *[(a, EventType.OUTPUT) for a in (*outputs, *plan.kept)],
    ]
    done: dict[str, Value] = {"plan": ""}
    if version is not None:
        done["version"] = version
    # A shortcut for the next curation, no fact about this one: a restored ledger goes without it.
    looked = {"looked": plan.looked} if plan.looked else {}
    site.put(
        execution,
        plan.kind,
        about,
        state=ExecutionState.COMPLETE,
        links=links,
        properties=done,
        custom_properties=looked,
    )
    point("curate.finished")
    if version is not None:
        past = timeline.read(site.ledger, plan.dataset)
        views.keep_state(site, past, past.at(version))
    return version


def quarantine_version(plan: Plan, number: int, execution: int) -> Artifact:
    """The state of the quarantine that a curation made."""
    return Artifact(
        "QuarantineVersion",
        name=f"{plan.dataset}@{number}",
        uri=f"quarantine/{plan.dataset}",
        properties={"dataset": plan.dataset, "table_version": number, "rows": plan.rejected, "execution": execution},
    )


def table_version(plan: Plan, number: int, execution: int, committed_at: datetime) -> Artifact:
    """The dataset's version that a curation made by a commit of this number in its table."""
    version = plan.offset + number
    return Artifact(
        "TableVersion",
        name=f"{plan.dataset}@{version}",
        uri=plan.uri,
        properties={
            "dataset": plan.dataset,
            "version": version,
            "table_version": number,
            "committed_at": committed_at.isoformat(),
            "execution": execution,
            "rows": plan.rows,
            "total": plan.total,
            "rejected": plan.rejected,
            "files": plan.files,
            "history": plan.history,
            **({"keys": json.dumps(plan.keys, ensure_ascii=False)} if plan.keys else {}),
            **{name: value for name in ("anomalies", "width", "run") if (value := getattr(plan, name)) is not None},
        },
    )


def following(last: datetime | None, now: datetime) -> datetime:
    """When a version was committed that follows another: now, but later than that."""
    return now if last is None else max(now, last + timedelta(microseconds=1))


def _last(site: Site, plan: Plan) -> datetime | None:
    last = timeline.read(site.ledger, plan.dataset).last
    return None if last is None else last.committed_at


def settle(site: Site, dataset: str) -> list[str]:
    """Close what a killed curation or derivation left open; only call while holding the dataset's lock.

    Returns:
        One sentence an execution, for people.
    """
    about = Context("Dataset", dataset)
    told = []
    for execution in (open_ for kind in MAKERS for open_ in site.interrupted(kind, about)):
        plan = str(execution.properties.get("plan", ""))
        if plan:
            carry_out(site, execution.id, Plan.from_json(plan))
            told.append(f"execution {execution.id} was interrupted while it became visible; it is whole now")
            continue
        removed = _sweep(site, dataset, execution)
        site.fail(execution.id, execution.type, about, INTERRUPTED)
        told.append(f"execution {execution.id} was interrupted; nothing of it was visible, {removed} files were swept")
    for kind in MAKERS:
        site.keep_newest(kind, about)
    return told


def abreast(site: Site, dataset: str, sequence: int | None = None) -> None:
    """Make sure that a dataset's tables hold no commit with a higher number: its rows would come twice.

    Args:
        site: the opened lake.
        dataset: whose tables.
        sequence: the highest number that may be there; by default the newest that the ledger knows.

    Raises:
        MetadataError: one does; the ledger is older than the lake.
    """
    made = {place: tables.sequence(place) for place in _places(site, dataset)}
    if sequence is None:  # asked after the tables: who curates without our knowing records a number before its commit
        sequence = timeline.read(site.ledger, dataset).sequence
    for place, number in made.items():
        if number > sequence:
            raise behind(f"the newest commit to {place.relative_to(site.storage.root)}")


def _places(site: Site, dataset: str) -> list[Path]:
    """The dataset's tables, of all generations, and its quarantine."""
    first = site.storage.path(f"curated/{dataset}")
    return [first, *first.parent.glob(f"{glob.escape(first.name)}~*"), site.storage.path(f"quarantine/{dataset}")]


def _sweep(site: Site, dataset: str, execution: Execution) -> int:
    abreast(site, dataset, int(str(execution.properties.get("sequence", 1))) - 1)
    orphans = [file for place in _places(site, dataset) for file in tables.orphans(place, execution.id)]
    for file in orphans:
        file.unlink(missing_ok=True)
    return len(orphans) + measured.discard(site.storage, dataset, execution.id)
