"""Users' own steps: what they read of the lake and made of it, recorded in the same graph as the lake's own.

A step's record is there from its start; what it made is recorded when it ends well, in one transaction.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import itertools
import json
import numbers
import os
import re
import threading
import traceback
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from lakehouse import environment, references, timeline
from lakehouse.errors import MetadataError, NotFoundError, RecordError, nearest
from lakehouse.records import Artifact, EventType, ExecutionState, Value, printable
from lakehouse.schema import PROVENANCE
from lakehouse.site import Site

__all__ = ["Inputs", "Run", "execution"]

Inputs = str | int | Iterable[str | int] | Mapping[str | int, Sequence[str] | None]
"""A reference, several, or by reference the columns that are read of it; None for all."""

_STEPS = "Land Curate Derive Run Optimize Tag Export Import Rebuild Publish TrainingSet Erase"
_MADE = "RawFile TableVersion QuarantineVersion Schema Statistics Anomalies Tag Export TrainingSet OnlineStore"
_OWN = {"execution": frozenset(_STEPS.split()), "artifact": frozenset(_MADE.split())}
_TYPE = re.compile(r"[A-Za-z_][\w.-]{0,99}", re.ASCII)
_FORMS = frozenset({"execution", "artifact"})  # what the forms of a reference begin with
_VERSIONED = re.compile(r"@[0-9]+$")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_FRAMES = 5  # of a traceback are kept
_LAKE = str(Path(__file__).parent)


class Run:
    """A step under way. It may be used from several threads, until it ends.

    Attributes:
        id: the execution's number in the ledger.
        inputs: what it reads, each to the version: ``aviation/flights@12``.
        outputs: what it made, ``Model:churn@0``; known once it ended.
    """

    def __init__(self, site: Site, kind: str) -> None:
        self._site = site
        self._kind = kind
        self._lock = threading.RLock()
        self._made: list[Artifact] = []
        self._columns: dict[str, list[str] | None] = {}
        self._ended = False
        self.id = 0
        self.inputs: tuple[str, ...] = ()
        self.outputs: tuple[str, ...] = ()

    def input(self, what: str | int, columns: Sequence[str] | None = None) -> tuple[str, ...]:
        """Record that the step reads something; it is in the ledger at once.

        Args:
            what: any form of a reference; a dataset without a version is its newest one, an execution is all
                that it made.
            columns: what is read of a dataset's columns; None for all.

        Returns:
            What it is, to the version.

        Raises:
            NotFoundError: there is no such thing or column; suggests one.
            MetadataError: the step has ended, or the ledger's database failed.
        """
        with self._lock:
            self._open()
            links, names = self._read({what: columns})
            self._site.put(self.id, self._kind, None, links=links, properties=self._properties())
            return names

    def output(
        self,
        type: str,  # noqa: A002  # ML Metadata's word
        uri: str | os.PathLike[str],
        /,
        *,
        name: str | None = None,
        external_id: str | None = None,
        **properties: Any,
    ) -> None:
        """Tell what the step made. It is recorded when the step ends without an error, else not at all.

        Args:
            type: your own word for what it is: ``Model``, ``Metrics``.
            uri: where it lies. A path is kept as an absolute ``file://`` URI.
            name: what this is a new version of: ``Model:churn`` is then the newest of them, ``Model:churn@0``
                the first.
            external_id: unique across all types, such as a hash of its content: what has it already is that
                artifact, one with another maker, and stays as it is.
            properties: typed; one of ``None`` is left out. Once it was stored, a property of a type keeps its
                type; an int for a float is one.

        Raises:
            RecordError: the type is one of the lake's own, the URI is empty, or a property cannot be stored as it is.
            MetadataError: the step has ended.
        """
        _usable("artifact", type)
        if name is not None and (not name.strip() or _VERSIONED.search(name)):
            raise RecordError(
                f"'{printable(name)}' cannot be the name of an output: the lake adds its version, @0, @1, …"
            )
        values = _values(self._site, f"property '{{}}' of {type}", properties)
        where = os.fspath(uri)
        if not where:
            raise RecordError(f"the URI of a {type} is empty; say where it lies")
        place = self._site.config.redact(where if _URL.match(where) else Path(where).absolute().as_uri())
        with self._lock:
            self._open()
            artifact = Artifact(type, name, place, external_id, properties=values)
            self._made.append(self._site.ledger.fitted(artifact))

    def _open(self) -> None:
        if self._ended:
            raise MetadataError(f"execution:{self.id} has ended; nothing more can be said of it")

    def _begin(self, inputs: Inputs, parameters: Mapping[str, Any], properties: Mapping[str, Value]) -> None:
        several = [inputs] if isinstance(inputs, (str, int)) else inputs
        given = several if isinstance(several, Mapping) else dict.fromkeys(several)
        links, _ = self._read(given)
        known = {**environment.caller(), **properties, **self._properties()}
        custom = _values(self._site, "parameter '{}'", parameters)
        self.id = self._site.begin(self._kind, None, known, links, parameters=custom)

    def _read(
        self, given: Mapping[str | int, Sequence[str] | None]
    ) -> tuple[list[tuple[Artifact | int, EventType]], tuple[str, ...]]:
        """Note inputs and their columns; what to link, and their names."""
        links: list[tuple[Artifact | int, EventType]] = []
        names: dict[str, None] = {}
        for what, columns in given.items():
            for artifact in references.artifacts(self._site, references.parse(what)):
                name = references.written(artifact)
                names[name] = None
                links.append((artifact.id, EventType.INPUT))
                known = None if columns is None else _known(self._site, artifact, columns)
                before = self._columns.get(name, [])
                # Who reads all of it once has read all of it.
                self._columns[name] = None if known is None or before is None else [*dict.fromkeys([*before, *known])]
        self.inputs = tuple(dict.fromkeys([*self.inputs, *names]))
        return links, tuple(names)

    def _properties(self) -> dict[str, Value]:
        told = {name: columns for name, columns in self._columns.items() if columns is not None}
        return {"columns": json.dumps(told, ensure_ascii=False)}

    def _complete(self) -> None:
        with self._lock:
            self._ended = True
            named = any(artifact.name is not None for artifact in self._made)
            # Whoever numbers versions does so alone.
            lock = self._site.storage.lock("outputs", "names") if named else contextlib.nullcontext()
            with lock:
                made = list(self._numbered())
                links: list[tuple[Artifact | int, EventType]] = [(artifact, EventType.OUTPUT) for artifact in made]
                put = self._site.put(self.id, self._kind, None, state=ExecutionState.COMPLETE, links=links)
            stored = [dataclasses.replace(a, id=number) for a, number in zip(made, put.artifact_ids, strict=True)]
            self.outputs = tuple(dict.fromkeys(map(references.written, stored)))

    def _numbered(self) -> Iterator[Artifact]:
        """What was made, each named one with its version; what is known by its external id as that."""
        floats = {(a.type, name) for a in self._made for name, v in a.properties.items() if isinstance(v, float)}
        external = [artifact.external_id for artifact in self._made if artifact.external_id is not None]
        known = {a.external_id: a for a in self._site.ledger.get_artifacts(external_ids=external)}
        following: dict[tuple[str, str], Iterator[int]] = {}
        once: dict[tuple[str, str | int], Artifact] = {}
        for number, told in enumerate(self._made):
            once.setdefault((told.type, number if told.external_id is None else told.external_id), told)
        for told in once.values():
            wider = {n: float(v) for n, v in told.properties.items() if (told.type, n) in floats and type(v) is int}
            artifact = dataclasses.replace(told, properties={**told.properties, **wider})
            found = known.get(artifact.external_id) if artifact.external_id is not None else None
            if found is not None and found.type == artifact.type:
                yield found
            elif artifact.name is None:
                yield artifact
            else:
                key = (artifact.type, artifact.name)
                if key not in following:
                    versions = references.versions(self._site, *key)
                    following[key] = itertools.count(max(versions, default=-1) + 1)
                yield dataclasses.replace(artifact, name=f"{artifact.name}@{next(following[key])}")

    def _fail(self, error: BaseException) -> None:
        """Close the record of a step that failed. Whatever happens here, its error is what the user is to see."""
        with self._lock, contextlib.suppress(MetadataError):
            self._ended = True
            properties: dict[str, Value] = {"error": self._site.redacted(error)}
            if where := _where(error):
                properties["traceback"] = self._site.redacted(where)
            self._site.put(self.id, self._kind, None, state=ExecutionState.FAILED, properties=properties)


@contextlib.contextmanager
def execution(
    site: Site,
    kind: str,
    inputs: Inputs = (),
    parameters: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Iterator[Run]:
    """A user's step, recorded from its start to its end.

    Args:
        site: the opened lake.
        kind: the user's own word for what is done: ``Train``.
        inputs: references to what is read, or by reference the columns that are read of it.
        parameters: what the step was given; kept as custom properties, one of None left out.
        name: for people; several steps may have the same.

    Raises:
        RecordError: the type is one of the lake's own, or a parameter cannot be stored.
        NotFoundError: an input is not there.
    """
    _usable("execution", kind)
    site.close_steps()
    token = uuid.uuid4().hex
    run = Run(site, kind)
    # Held until the step ends, however it ends: whoever can take it finds that the step's process died.
    with site.storage.lock("execution", token, wait=0, keep=False):
        run._begin(inputs, parameters or {}, {"process": token, **({} if name is None else {"name": name})})  # noqa: SLF001
        try:
            yield run
            run._complete()  # noqa: SLF001  # a run's begin and end are not its user's to call
        except BaseException as error:
            run._fail(error)  # noqa: SLF001
            raise
        finally:
            site.listener.settle()  # its log tells what could not be delivered


def _usable(what: str, kind: str) -> None:
    if kind in _OWN[what]:
        raise RecordError(f"'{kind}' is the lake's own type of {what}; take another word for yours, such as 'My{kind}'")
    if not _TYPE.fullmatch(kind) or kind in _FORMS:
        raise RecordError(f"'{printable(kind)}' cannot be a type of {what}: write a word, such as 'Train' or 'Model'")


def _known(site: Site, artifact: Artifact, columns: Sequence[str]) -> list[str]:
    """The columns, if the version can have them."""
    if artifact.type != "TableVersion":
        raise RecordError(f"{references.written(artifact)} is no dataset's version: columns cannot be named of it")
    dataset = str(artifact.properties["dataset"])
    named = [columns] if isinstance(columns, str) else columns
    known = timeline.columns(site.ledger, dataset)
    if known is not None and (missing := [c for c in named if c not in known and c not in PROVENANCE]):
        name = printable(missing[0])
        raise NotFoundError(f"{references.written(artifact)} has no column '{name}'.{nearest(name, known)}")
    return [*named]


def _values(site: Site, what: str, given: Mapping[str, Any]) -> dict[str, Value]:
    """Properties as the ledger stores them, secrets taken out; those of None left out."""
    values: dict[str, Value] = {}
    for name, value in given.items():
        if value is not None:
            try:
                values[name] = _value(site, value)
            except TypeError as error:
                raise RecordError(f"{what.format(printable(name))}: {error}") from None
    return values


def _value(site: Site, value: Any) -> Any:
    """A number, flag or array of NumPy's and its kin, a path or a moment as the plain value that it is."""
    match value:
        case None | bool():
            return value
        case numbers.Integral():
            return int(value)
        case numbers.Real() | Decimal():
            return float(value)
        case str() | os.PathLike():
            return site.config.redact(os.fspath(value))
        case dt.date() | dt.time():
            return value.isoformat()
        case Mapping():
            return {str(key): _value(site, inner) for key, inner in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_value(site, inner) for inner in value]
        case _ if callable(getattr(value, "tolist", None)):
            moment = getattr(getattr(value, "dtype", None), "kind", "") == "M"  # its list may be of bare numbers
            return _value(site, (value.astype(str) if moment else value).tolist())
        case _:
            raise TypeError(
                f"a {type(value).__name__} cannot be stored; give a number, text, bool, moment, list, array or mapping"
            )


def _where(error: BaseException) -> str:
    """The last lines of a traceback in the user's own code."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_LAKE)]
    return "\n".join(f"{f.filename}:{f.lineno} in {f.name}: {f.line or ''}" for f in frames[-_FRAMES:])
