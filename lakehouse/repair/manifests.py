"""Landings and raw files out of the raw zone's manifests: what each stored, and when; not what it saw again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lakehouse.integrity.raw import manifest_of, raw_folders
from lakehouse.receipts import Receipt
from lakehouse.records import (
    Artifact,
    Context,
    Event,
    EventType,
    Execution,
    ExecutionState,
    Sighting,
    Value,
    raw_id,
    said_of,
)
from lakehouse.storage import Storage

__all__ = ["REBUILT", "described", "landings"]

REBUILT = "rebuilt"
"""The property that says from what an execution was put back, where it left no receipt."""


def landings(storage: Storage, known: Collection[int]) -> dict[int, Receipt]:
    """Landings that left no receipt, by execution.

    Args:
        storage: the lake's files.
        known: executions that did.
    """
    by_landing: dict[int, list[dict[str, Any]]] = {}
    for folder in raw_folders(storage):
        manifest = _read(folder)
        if manifest is not None and manifest["execution"] not in known:
            by_landing.setdefault(manifest["execution"], []).append(manifest)
    return {number: _landing(number, of) for number, of in by_landing.items() if len({m["source"] for m in of}) == 1}


def described(storage: Storage, raw: Artifact) -> Artifact:
    """A raw file of which only the external id is known, with what its folder tells."""
    source, _, sha256 = str(raw.external_id).partition("/")
    folder = storage.path(f"raw/{source}/{sha256[:2]}/{sha256}")
    manifest = _read(folder)
    if manifest is None:
        file = next((f for f in sorted(folder.glob("*")) if f.name != "manifest.json"), None)
        moment = datetime.fromtimestamp(file.stat().st_mtime if file else 0, UTC)
        manifest = {
            "source": source,
            "sha256": sha256,
            "name": file.name if file else sha256,
            "size": file.stat().st_size if file else 0,
            "landed_at": moment,
            "said": {},
        }
    return _raw(manifest, raw.id)


def _raw(manifest: Mapping[str, Any], identity: int) -> Artifact:
    source, sha256 = manifest["source"], manifest["sha256"]
    return Artifact(
        "RawFile",
        name=raw_id(source, sha256),
        external_id=raw_id(source, sha256),
        uri=f"raw/{source}/{sha256[:2]}/{sha256}/{manifest['name']}",
        properties={
            "source": source,
            "sha256": sha256,
            "name": manifest["name"],
            "size": manifest["size"],
            "landed_at": manifest["landed_at"].isoformat(),
        },
        custom_properties=manifest["said"],
        id=identity,
        created_at=manifest["landed_at"],
        updated_at=manifest["landed_at"],
    )


def _landing(number: int, manifests: list[dict[str, Any]]) -> Receipt:
    manifests.sort(key=lambda m: (m["landed_at"], m["origin"]))
    source, first, last = manifests[0]["source"], manifests[0]["landed_at"], manifests[-1]["landed_at"]
    properties: dict[str, Value] = {
        "files": len(manifests),
        "new": len(manifests),
        "size": sum(m["size"] for m in manifests),
        REBUILT: "from the manifests of what it stored; what it saw again is not known",
    }
    execution = Execution(
        "Land", state=ExecutionState.COMPLETE, id=number, properties=properties, created_at=first, updated_at=last
    )
    return Receipt(
        execution,
        contexts=(Context("Source", source, created_at=first, updated_at=first),),
        artifacts=tuple(_raw(m, -at) for at, m in enumerate(manifests, 1)),
        events=tuple(Event(-at, number, EventType.OUTPUT, m["landed_at"]) for at, m in enumerate(manifests, 1)),
        # Without the source's own mark of change a file is read once more, and found to be the same.
        sightings=tuple(Sighting(source, m["origin"], m["size"], "", m["sha256"], m["landed_at"]) for m in manifests),
    )


def _read(folder: Path) -> dict[str, Any] | None:
    """What a manifest says; None where it is gone, damaged or another folder's."""
    manifest = manifest_of(folder) or {}
    try:
        texts = {name: str(manifest[name]) for name in ("source", "origin", "name", "sha256")}
        size, number = int(str(manifest["size"])), int(str(manifest["execution"]))
        moment = datetime.fromisoformat(str(manifest["landed_at"]))
    except (KeyError, ValueError):
        return None
    if (texts["source"], texts["sha256"]) != (folder.parts[-3], folder.name) or moment.tzinfo is None:
        return None
    return {**texts, "size": size, "execution": number, "landed_at": moment, "said": said_of(manifest)}
