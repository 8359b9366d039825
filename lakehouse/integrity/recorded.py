"""The ledger for itself, and against the receipts that its executions left in the lake."""

from __future__ import annotations

import urllib.parse
import urllib.request
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TypeAlias

from lakehouse.integrity.problems import REPAIR, Problem, problem
from lakehouse.metadata import Ledger
from lakehouse.receipts import ZONE, Receipt, number_of, uri_of
from lakehouse.records import Artifact, Execution, ExecutionState, Progress, TypeKind
from lakehouse.site import Site
from lakehouse.storage import Storage
from lakehouse.timeline import runs

__all__ = ["OWN_ARTIFACTS", "by_the_lake", "check_ledger", "check_receipts", "conflict", "deleted", "left"]

Deleted: TypeAlias = dict[TypeKind, set[int]]
"""Ids of records by their kind."""

OWN_ARTIFACTS = frozenset({"RawFile", "Schema", "TableVersion", "QuarantineVersion", "Statistics", "Anomalies"})
_OWN_EXECUTIONS = frozenset({"Run", "Optimize", "Land", "Curate", "Derive"})
_PART = 500  # executions compared in one set of queries
_LISTED = 5  # executions named
_ENDED = (ExecutionState.COMPLETE, ExecutionState.FAILED)


def check_ledger(site: Site) -> Iterator[Problem]:
    """The database's own check, its records' links, what is under way, and what users recorded of files."""
    advice = f"{REPAIR}, or bring the ledger back from a backup"
    for one in site.ledger.damage():
        yield problem("the ledger", f"its database is damaged: {one}", advice)
    for one in site.ledger.dangling():
        yield problem("the ledger", one, advice)
    yield from _running(site)
    yield from _users_files(site)


def _running(site: Site) -> Iterator[Problem]:
    """Executions that are under way, or were when their process died."""
    for execution in site.ledger.get_executions(state=ExecutionState.RUNNING):
        about = {c.type: c.name for c in site.ledger.get_contexts(execution_id=execution.id)}
        subject = about.get("Source" if execution.type == "Land" else "Dataset")
        if execution.type in _OWN_EXECUTIONS and subject is not None:
            of = f"this {execution.type} of '{subject}'"
            then = "becomes visible" if execution.properties.get("plan") else "is cleaned up"
            command = {"Land": "land", "Optimize": "optimize"}.get(execution.type, "curate")
            advice = f"nothing while it runs; else it {then} at the next `lakehouse {command} {subject}`"
        elif execution.type == runs.RUN:
            of = f"this run of '{about.get('Job', '')}'"
            advice = "nothing while it runs; else the next run, or read of a moment, ends it"
        else:
            of, advice = (
                f"this {execution.type}",
                "nothing while it runs; else the next step of a user's closes its record",
            )
        message = f"{of} is under way, or its process died"
        yield problem(f"execution:{execution.id}", message, advice, harmless=True)


def _users_files(site: Site) -> Iterator[Problem]:
    """Files that users' own executions recorded, where they are files of this machine."""
    for artifact in site.ledger.get_artifacts():
        if artifact.type in OWN_ARTIFACTS:
            continue
        path = _local(artifact.uri)
        if path is not None and not path.exists():
            where = f"artifact:{artifact.id}"
            message = f"this {artifact.type} is gone from {artifact.uri}"
            yield problem(where, message, "nothing, if that is known: the lake keeps what it was", harmless=True)


def _local(uri: str) -> Path | None:
    parsed = urllib.parse.urlsplit(uri)
    if parsed.scheme == "file" and parsed.netloc in {"", "localhost"}:
        return Path(urllib.request.url2pathname(parsed.path))
    return Path(uri) if uri.startswith("/") else None


def check_receipts(site: Site) -> Iterator[Problem]:
    """Every execution that ended left a receipt, every receipt is of an execution, and they say the same."""
    files, foreign = left(site.storage)
    for uri in foreign:
        yield problem(uri, "is no receipt", "take it out")
    executions = site.ledger.get_executions()  # after the files: each receipt's is among them
    missing = [
        e.id
        for e in executions
        if by_the_lake(e) and e.state in _ENDED and not site.storage.path(uri_of(e.id)).exists()
    ]
    ended = [e.id for e in executions if e.state in _ENDED and e.id in files]
    gone = deleted(site.ledger)
    for at in range(0, len(ended), _PART):
        site.report(Progress("check", "receipts", at, len(ended), "files"))
        for receipt in site.ledger.receipts(ended[at : at + _PART]):
            yield from _compare(files[receipt.execution.id], receipt, gone)
    for number in sorted(files.keys() - {e.id for e in executions} - gone[TypeKind.EXECUTION]):
        message = (
            f"the ledger does not know execution:{number}, which left this receipt: the ledger is older than the lake"
        )
        yield problem(uri_of(number), message, REPAIR)
    if missing:
        some = ", ".join(f"execution:{identity}" for identity in missing[:_LISTED])
        more = f" and {len(missing) - _LISTED:,} more" if len(missing) > _LISTED else ""
        message = f"there is none of {some}{more}: only the ledger knows"
        yield problem(ZONE, message, f"{REPAIR}: they are written", harmless=True)
    site.report(Progress("check", "receipts", len(ended), len(ended), "files", finished=True))


def by_the_lake(execution: Execution) -> bool:
    """Whether the lake recorded an execution, and not some other program that writes to the ledger."""
    return execution.type in _OWN_EXECUTIONS or "packages" in execution.properties


def left(storage: Storage) -> tuple[dict[int, Path], list[str]]:
    """The receipts' files by execution, and the uris of whatever else lies among them."""
    zone = storage.path(ZONE)
    found, foreign = {}, []
    for file in sorted(zone.rglob("*")):
        number = number_of(file.name)
        if file.is_dir():
            continue
        uri = file.relative_to(storage.root).as_posix()
        if number is not None and uri == uri_of(number):
            found[number] = file
        elif not file.name.endswith(".part"):  # half-written; the next of its name takes its place
            foreign.append(uri)
    return found, foreign


def deleted(ledger: Ledger) -> Deleted:
    """What users deleted from the ledger: it need not be there any more."""
    found: Deleted = {kind: set() for kind in TypeKind}
    for tombstone in ledger.tombstones():
        found[tombstone.kind].add(tombstone.id)
    return found


def _compare(file: Path, receipt: Receipt, gone: Deleted) -> Iterator[Problem]:
    text = file.read_bytes()
    if text == receipt.to_json().encode():
        return
    uri = uri_of(receipt.execution.id)
    try:
        kept = Receipt.from_json(text)
    except ValueError as error:
        yield problem(uri, f"is damaged: {error}", f"{REPAIR}: it is written again")
        return
    if differing := conflict(kept, receipt, gone):
        message = (
            f"the ledger says something else of execution:{receipt.execution.id} than this: {', '.join(differing)}"
        )
        yield problem(uri, message, f"{REPAIR}: it makes the ledger again by the receipts")


def conflict(kept: Receipt, recorded: Receipt, gone: Deleted) -> list[str]:
    """In what a ledger lacks or contradicts a receipt; it may say more, and lack what was deleted."""
    contexts = {(c.type, c.name) for c in kept.contexts if c.id not in gone[TypeKind.CONTEXT]}
    lacking = {
        "its type, state or begin": _heads(kept) - _heads(recorded),
        "its properties": _properties(kept) - _properties(recorded),
        "what it belongs to": contexts - {(c.type, c.name) for c in recorded.contexts},
        "what it read and made": _touched(kept, gone[TypeKind.ARTIFACT]) - _touched(recorded),
        "what it saw": set(kept.sightings) - set(recorded.sightings),
    }
    return [what for what, facts in lacking.items() if facts]


def _heads(receipt: Receipt) -> set[object]:
    execution = receipt.execution
    return {(execution.type, execution.name, execution.state, execution.created_at)}


def _properties(receipt: Receipt) -> set[object]:
    return {(name, repr(value)) for name, value in receipt.execution.properties.items()}


def _touched(receipt: Receipt, gone: Collection[int] = ()) -> set[object]:
    """How what was touched, and what the ledger says of that; of raw files that were only read, nothing more."""
    said = {artifact.id: _said(artifact) for artifact in receipt.artifacts}
    return {(event.type, said.get(event.artifact_id)) for event in receipt.events if event.artifact_id not in gone}


def _said(artifact: Artifact) -> tuple[object, ...]:
    properties = sorted((name, repr(value)) for name, value in artifact.properties.items())
    return artifact.type, artifact.external_id or artifact.name, artifact.uri, artifact.state, *properties
