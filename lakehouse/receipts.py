"""Receipts: what the ledger says of one execution that has ended, as a file beside the data.

One small file an execution, ``receipts/000/17.json`` below the lake's root, so that a ledger that is
lost or damaged can be made again with nothing of it changed. Holds what the ledger holds (names, counts,
moments, configuration), and never a row's values.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lakehouse.records import (
    Artifact,
    ArtifactState,
    Context,
    Event,
    EventType,
    Execution,
    ExecutionState,
    Proto,
    Sighting,
    Value,
)

__all__ = ["ZONE", "Receipt", "begun", "newest", "number_of", "uri_of"]

ZONE = "receipts"
_PROTO = "@proto"  # marks a value that is a message, and not a mapping
_FORM = 1  # of the file; a reader refuses what it does not know
_FOLDER = 1000  # receipts in one folder
_HEAD = re.compile(rb'\{"receipt":\{"form":\d+,"execution":\{"id":\d+,"type":"([^"\\]+)".*?[^\\]"created_at":"([^"]+)"')
_HEAD_SIZE = 4096  # of its execution's type, state, names and times


@dataclass(frozen=True, slots=True)
class Receipt:
    """One execution with all that belongs to it.

    Attributes:
        execution: with its id and its times.
        contexts: what it belongs to, and every artifact it touched with it.
        parents: pairs of a child and its parent among the contexts.
        artifacts: what it touched. A raw file that it only read is bare: type, id and external id.
        events: how it touched them, by the artifacts' ids here, in the order they were recorded.
        sightings: what it saw at a source, in that order too.
    """

    execution: Execution
    contexts: tuple[Context, ...] = ()
    parents: tuple[tuple[Context, Context], ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    events: tuple[Event, ...] = ()
    sightings: tuple[Sighting, ...] = ()

    def to_json(self) -> str:
        """The receipt as a file holds it: one JSON object, with its own hash beside it."""
        text = _dump(self._plain())
        return f'{{"receipt":{text},"sha256":"{_digest(text)}"}}\n'

    @classmethod
    def from_json(cls, text: str | bytes) -> Receipt:
        """Read back what `to_json` wrote.

        Raises:
            ValueError: it is damaged, or of a newer form.
        """
        try:
            whole = json.loads(text)
            plain, digest = whole["receipt"], whole["sha256"]
            if _digest(_dump(plain)) != digest:
                raise ValueError("its hash does not fit")
            if plain["form"] != _FORM:
                raise ValueError(f"its form is {plain['form']}, made by a newer release")
            return _receipt(plain)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError("it is no receipt") from error

    def _plain(self) -> dict[str, Any]:
        groups = itertools.groupby(self.events, key=lambda event: (event.type.name, _text(event.at), event.path))
        return {
            "form": _FORM,
            "execution": _record(self.execution),
            "contexts": [_record(context) for context in self.contexts],
            "parents": [[c.type, c.name, p.type, p.name] for c, p in self.parents],
            "artifacts": [_record(artifact) for artifact in self.artifacts],
            "events": [[kind, at, list(path), [e.artifact_id for e in of]] for (kind, at, path), of in groups],
            "sightings": [
                [s.source, s.origin, s.size, s.modified, s.sha256, s.seen_at.isoformat()] for s in self.sightings
            ],
        }


def _dump(plain: Mapping[str, Any]) -> str:
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), default=_proto)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _proto(value: object) -> dict[str, str]:
    """A value that JSON does not know."""
    if not isinstance(value, Proto):
        raise TypeError(f"a {type(value).__name__} is no property's value")
    return {_PROTO: value.type_url, "value": value.value.hex()}


def uri_of(execution: int) -> str:
    """Where an execution's receipt lies, relative to the lake's root."""
    return f"{ZONE}/{execution // _FOLDER:03}/{execution}.json"


def number_of(name: str) -> int | None:
    """The execution whose receipt a file of this name is; None where it is none."""
    stem, _, ending = name.partition(".")
    return int(stem) if ending == "json" and stem.isdecimal() and stem == str(int(stem)) else None


def newest(zone: Path) -> int | None:
    """The highest number of a receipt in a lake's folder of receipts; None where there is none. Opens no file."""
    folders = [entry for entry in zone.iterdir() if entry.name.isdecimal()] if zone.is_dir() else []
    for folder in sorted(folders, key=lambda entry: int(entry.name), reverse=True):
        names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
        here = [
            number for name in names if (number := number_of(name)) and uri_of(number) == f"{ZONE}/{folder.name}/{name}"
        ]
        if here:
            return max(here)
    return None


def begun(file: Path) -> tuple[str, datetime] | None:
    """The type of a receipt's execution and when it began, from the file's first bytes; None where it is damaged."""
    try:
        with file.open("rb") as opened:
            found = _HEAD.match(opened.read(_HEAD_SIZE))
        return None if found is None else (found[1].decode(), datetime.fromisoformat(found[2].decode()))
    except (OSError, ValueError):
        return None


def _record(record: Artifact | Execution | Context) -> dict[str, Any]:
    """A record's own values; what is not given is left out."""
    values: dict[str, Any] = {
        "id": record.id,
        "type": record.type,
        "name": record.name,
        "external_id": record.external_id,
    }
    if isinstance(record, Artifact):
        values["uri"] = record.uri
    if not isinstance(record, Context):
        values["state"] = record.state.name
    values["created_at"], values["updated_at"] = _text(record.created_at), _text(record.updated_at)
    values["properties"], values["custom_properties"] = dict(record.properties), dict(record.custom_properties)
    return {key: value for key, value in values.items() if value not in (None, "", {})}


def _receipt(plain: Mapping[str, Any]) -> Receipt:
    execution = Execution(**_common(plain["execution"]), state=ExecutionState[plain["execution"]["state"]])
    return Receipt(
        execution,
        tuple(Context(**_common(values)) for values in plain["contexts"]),
        tuple((Context(*pair[:2]), Context(*pair[2:])) for pair in plain["parents"]),
        tuple(
            Artifact(**_common(values), uri=values.get("uri", ""), state=ArtifactState[values["state"]])
            for values in plain["artifacts"]
        ),
        tuple(
            Event(artifact, execution.id, EventType[kind], _moment(at), tuple(path))
            for kind, at, path, artifacts in plain["events"]
            for artifact in artifacts
        ),
        tuple(
            Sighting(source, origin, size, modified, sha256, datetime.fromisoformat(seen_at))
            for source, origin, size, modified, sha256, seen_at in plain["sightings"]
        ),
    )


def _common(values: Mapping[str, Any]) -> dict[str, Any]:
    names = ("type", "name", "external_id", "id", "properties", "custom_properties")
    found = {name: values[name] for name in names if name in values}
    for name in names[-2:]:
        found[name] = {key: _value(value) for key, value in values.get(name, {}).items()}
    return found | {name: _moment(values.get(name)) for name in ("created_at", "updated_at")}


def _value(value: Any) -> Value:
    if isinstance(value, dict) and value.keys() == {_PROTO, "value"}:
        return Proto(value[_PROTO], bytes.fromhex(value["value"]))
    return value  # type: ignore[no-any-return]


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
