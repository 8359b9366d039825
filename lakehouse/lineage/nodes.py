"""The ledger's records as nodes of a lineage: their ids, which a rebuilt ledger would give again, and labels."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from lakehouse.lineage.graph import Node
from lakehouse.records import (
    MAKERS,
    Artifact,
    ArtifactState,
    Context,
    Execution,
    ExecutionState,
    Tombstone,
    Value,
    printable,
)

__all__ = [
    "KINDS",
    "artifact_node",
    "context_node",
    "execution_node",
    "order",
    "raw_node",
    "rows",
    "tombstone_node",
]

_HASH = 12  # characters of a hash in labels
KINDS = (
    "Source",
    "Job",
    "Run",
    "Land",
    "RawFile",
    "RawColumn",
    "Schema",
    "Curate",
    "Derive",
    "QuarantineVersion",
    "Statistics",
    "Anomalies",
    "TableVersion",
    "Column",
)
_TAKEN = {"source", "job", "run", "execution", "raw", "schema", "quarantine", "artifact"}
_EDGES_TELL = ("plan", "files", "refused", "supersedes", "looked")  # of a curation, file by file
_LIVE = (ArtifactState.LIVE, ArtifactState.UNKNOWN, ArtifactState.REFERENCE)


def execution_node(execution: Execution) -> Node:
    """A landing, curation or user's own step."""
    p = execution.properties
    state = "" if execution.state is ExecutionState.COMPLETE else f" ({execution.state.name.lower()})"
    when = f", {execution.created_at:%Y-%m-%d %H:%M:%S} UTC" if execution.created_at else ""
    code = str(p.get("code_version", ""))[:_HASH] or "unknown"
    called = execution.name or p.get("name")
    name = f" {called}" if called else ""
    said = _said(execution)
    label = f"{execution.type}{name} execution:{execution.id}{state}: {f'{said}, ' if said else ''}code {code}{when}"
    told = _EDGES_TELL if execution.type in MAKERS else ()
    known = {**p, **execution.custom_properties}
    properties: dict[str, Value] = {k: v for k, v in known.items() if k not in told}
    properties["state"] = execution.state.name
    if execution.created_at:
        properties["created_at"] = execution.created_at.isoformat()
    return Node(execution.type, f"execution:{execution.id}", printable(label), properties)


def _said(execution: Execution) -> str:
    p = execution.properties
    if execution.type == "Land":
        return f"{_counted(p.get('files', 0), 'file')} seen, {p.get('new', 0)} new"
    if execution.type in MAKERS and execution.state is ExecutionState.COMPLETE:
        filled = sum(json.loads(str(p.get("filled", "{}"))).values())
        told = f", filled in {_counted(filled, 'value')}" if filled else ""
        verb = "read" if execution.type == "Curate" else "made"
        counted = f"{verb} {rows(p.get('read', 0))}, rejected {p.get('rejected', 0)}{told}"
        return f"{counted}, configuration {_fingerprint(p)}"
    error = str(p.get("error", "")).partition(". ")[0][:200]
    return f"{error}, configuration {_fingerprint(p)}" if execution.type in MAKERS else error


def _fingerprint(properties: Mapping[str, Value]) -> str:
    return str(properties.get("fingerprint", ""))[:_HASH]


def artifact_node(artifact: Artifact) -> Node:
    """A version of a dataset, a schema, the quarantine of a curation, or a user's own artifact."""
    properties = {**artifact.properties, **artifact.custom_properties}
    if artifact.type == "Schema":
        return Node("Schema", str(artifact.external_id), printable(f"Schema {artifact.name}"), properties)
    if artifact.uri:
        properties["uri"] = artifact.uri
    if artifact.type == "TableVersion" and "committed_at" in properties:
        return Node("TableVersion", str(artifact.name), printable(f"TableVersion {_version(artifact)}"), properties)
    if artifact.type == "QuarantineVersion":
        label = f"QuarantineVersion {artifact.name}: {rows(artifact.properties.get('rows', 0))}"
        return Node("QuarantineVersion", f"quarantine:{artifact.name}", printable(label), properties)
    if artifact.type == "Anomalies" and "errors" in artifact.properties:
        counts = ((artifact.properties["errors"], "error"), (artifact.properties["warnings"], "warning"))
        told = ", ".join(_counted(n, word) for n, word in counts if n) or "none"
        return Node(
            "Anomalies", f"Anomalies:{artifact.name}", printable(f"Anomalies {artifact.name}: {told}"), properties
        )
    named = artifact.name is not None and artifact.type not in _TAKEN
    identity = f"{artifact.type}:{artifact.name}" if named else f"artifact:{artifact.id}"
    label = f"{artifact.type} {artifact.name or f'artifact:{artifact.id}'}"
    if artifact.state not in _LIVE:
        label += f" ({artifact.state.name.lower().replace('_', ' ')})"
        properties["state"] = artifact.state.name
    label += f" at {artifact.uri}" if artifact.uri else ""
    return Node(artifact.type, identity, printable(label), properties)


def _version(artifact: Artifact) -> str:
    p = artifact.properties
    when = datetime.fromisoformat(str(p["committed_at"]))
    return f"{artifact.name}: {rows(p['total'])} visible, {p['rows']:,} of them new, {when:%Y-%m-%d %H:%M:%S} UTC"


def raw_node(artifact: Artifact, origins: Sequence[str]) -> Node:
    """A raw file, with the addresses it was seen at."""
    p = artifact.properties
    label = f"RawFile {p['name']} ({str(p['sha256'])[:_HASH]}, {p['size']:,} bytes)"
    if origins:
        label += f" from {origins[0]}" + (f" and {len(origins) - 1} more" if len(origins) > 1 else "")
    properties: dict[str, Value] = {**p, "uri": artifact.uri, "origins": list(origins)}
    return Node("RawFile", f"raw:{p['source']}/{p['sha256']}", printable(label), properties)


def tombstone_node(gone: Tombstone) -> Node:
    """An execution or artifact that was deleted."""
    # By its number: its name may have been given again.
    identity = f"{gone.kind.name.lower()}:{gone.id}"
    when = f", {gone.deleted_at:%Y-%m-%d %H:%M:%S} UTC" if gone.deleted_at else ""
    name = f" {gone.name}" if gone.name else ""
    properties: dict[str, Value] = {"state": "DELETED", "reason": gone.reason}
    if gone.uri:
        properties["uri"] = gone.uri
    if gone.deleted_at:
        properties["deleted_at"] = gone.deleted_at.isoformat()
    label = f"{gone.type}{name} {identity} (deleted: {gone.reason}{when})"
    return Node(gone.type, identity, printable(label), properties)


def context_node(context: Context) -> Node:
    """A source, run or job."""
    return Node(context.type, f"{context.type.lower()}:{context.name}", printable(f"{context.type} {context.name}"))


def rows(count: object) -> str:
    """A number of rows."""
    return _counted(count, "row")


def order(node: Node) -> tuple[int, list[tuple[int, str]], list[tuple[int, str]]]:
    """Where a node stands: upstream kinds first, users' own last; raw files by their name, all others by their id."""
    place = KINDS.index(node.kind) if node.kind in KINDS else len(KINDS)
    name = str(node.properties["name"]) if node.kind == "RawFile" else ""
    return place, _natural(name), _natural(node.id)


def _counted(count: object, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}" if isinstance(count, int) else f"{count} {what}s"


def _natural(text: str) -> list[tuple[int, str]]:
    """A key that puts execution:9 before execution:10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]{1,12})", text)]
