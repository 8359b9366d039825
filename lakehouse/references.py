"""What users write to name a thing of the lake, and the records of the ledger that it names.

One grammar wherever a thing can be named: the command line, `Lake.lineage`, the inputs of users' own steps.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

from lakehouse import timeline
from lakehouse.errors import NotFoundError, nearest
from lakehouse.records import MAKERS, Artifact, EventType, Execution, printable
from lakehouse.site import Site

__all__ = ["FORMS", "Reference", "artifacts", "execution", "parse", "versions", "written"]

FORMS = (
    "write aviation/flights, aviation/flights@12, execution:17, artifact:9, Model:churn, the URI of an artifact, or a "
    "raw file's sha256 (at least 8 characters)"
)
_NUMBERED = re.compile(r"(?:(execution|artifact):)?([0-9]{1,18})", re.ASCII)
_BARE = 7  # digits of a bare execution number; one more is the beginning of a hash
_HASH = re.compile(r"[0-9a-f]{8,64}")
_NAMED = re.compile(r"([A-Za-z_][\w.-]*):(.+)", re.DOTALL)
_VERSION = re.compile(r"(.+)@([0-9]{1,18})", re.DOTALL | re.ASCII)
_LISTED = 10  # things named where several are meant, or none


@dataclass(frozen=True, slots=True)
class Reference:
    """What was named. ``str()`` writes it as a user would.

    Attributes:
        kind: ``dataset``, ``execution``, ``artifact`` (those two by id), ``named`` (an artifact by type and
            name), ``uri`` or ``raw`` (a raw file by its hash).
        name: of the dataset or named artifact; the URI; the hash or its beginning, in lower case.
        number: the version, None for the newest; the id of an execution or artifact.
        type: of a named artifact.
    """

    kind: Literal["dataset", "execution", "artifact", "named", "uri", "raw"]
    name: str = ""
    number: int | None = None
    type: str = ""

    def __str__(self) -> str:
        if self.kind in ("execution", "artifact"):
            return f"{self.kind}:{self.number}"
        prefix = f"{self.type}:" if self.type else ""
        return f"{prefix}{self.name}" + ("" if self.number is None else f"@{self.number}")


def parse(what: str | int) -> Reference:
    """Read what a user wrote; an int names an execution.

    Raises:
        NotFoundError: it has none of the forms; lists them.
    """
    text = str(what).strip()
    if (match := _NUMBERED.fullmatch(text)) and (match[1] or len(text) <= _BARE):
        return Reference("artifact" if match[1] == "artifact" else "execution", number=int(match[2]))
    if "://" in text:
        return Reference("uri", text)
    if _HASH.fullmatch(text.lower()):
        return Reference("raw", text.lower())
    if match := _NAMED.fullmatch(text):
        kind, name = match[1], match[2]
        numbered = _VERSION.fullmatch(name)
        return (
            Reference("named", numbered[1], int(numbered[2]), kind) if numbered else Reference("named", name, type=kind)
        )
    if "/" in text:
        name, at, version = text.partition("@")
        if at and not re.fullmatch(r"[0-9]{1,18}", version, re.ASCII):
            raise NotFoundError(f"'{printable(version)}' is no version of '{printable(name)}'; {FORMS}")
        return Reference("dataset", name, int(version) if at else None)
    raise NotFoundError(f"'{printable(text)}' names nothing; {FORMS}")


def execution(site: Site, reference: Reference) -> Execution:
    """The execution that a reference of that kind names.

    Raises:
        NotFoundError: there is none; says which is the newest.
    """
    assert reference.number is not None  # noqa: S101  # an execution is named by its id alone
    if found := site.ledger.get_executions(ids=[reference.number]):
        return found[0]
    newest = site.ledger.get_executions(newest_first=True, limit=1)
    hint = f"the newest is execution:{newest[0].id}" if newest else "nothing ran in this lake yet"
    raise NotFoundError(f"there is no {reference}; {hint}")


def artifacts(site: Site, reference: Reference) -> tuple[Artifact, ...]:
    """The artifacts a reference names.

    Returns:
        One artifact; the ``TableVersion`` of a dataset; of a raw file its ``RawFile`` of every source that
        holds these bytes; of an execution all that it made. What has several versions, or lies at one URI
        several times, is its newest. Of a curation what it made of rows, without their statistics and anomalies.

    Raises:
        NotFoundError: there is none, or several are meant; lists or suggests them.
    """
    match reference.kind:
        case "dataset":
            return (_table_version(site, reference),)
        case "named":
            return (_named(site, reference),)
        case "uri":
            return (_at_uri(site, reference.name),)
        case "raw":
            return _raw_files(site, reference.name)
        case "artifact":
            return (_by_id(site, reference),)
        case "execution":
            return _made_by(site, execution(site, reference))


def versions(site: Site, kind: str, name: str) -> dict[int, Artifact]:
    """A named artifact's versions (``churn@0``, ``churn@1``) by number, oldest first."""
    pattern = re.sub(r"([\\%_])", r"\\\1", name) + "@%"
    query = f"name LIKE {json.dumps(pattern, ensure_ascii=False)}"
    found = site.ledger.get_artifacts(type=kind, filter_query=query)
    numbered = [(_VERSION.fullmatch(a.name or ""), a) for a in found]
    return dict(sorted((int(m[2]), a) for m, a in numbered if m and m[1] == name))


def written(artifact: Artifact) -> str:
    """The reference that names an artifact and no other."""
    if artifact.type == "TableVersion" and artifact.name:
        return artifact.name
    if artifact.type == "RawFile":
        return str(artifact.properties["sha256"])
    return f"{artifact.type}:{artifact.name}" if artifact.name else f"artifact:{artifact.id}"


def _table_version(site: Site, reference: Reference) -> Artifact:
    name = reference.name
    known = {*site.config.datasets, *(c.name for c in site.ledger.get_contexts(type="Dataset"))}
    if name not in known:
        raise NotFoundError(f"no dataset '{printable(name)}'.{nearest(name, known)}")
    wanted = site.pin(name) if reference.number is None else reference.number
    number = timeline.read(site.ledger, name).at(wanted).version
    return site.ledger.get_artifacts(type="TableVersion", names=[f"{name}@{number}"])[0]


def _named(site: Site, reference: Reference) -> Artifact:
    if exact := site.ledger.get_artifacts(type=reference.type, names=[str(reference).partition(":")[2]]):
        return exact[0]
    there = versions(site, reference.type, reference.name)
    if there and reference.number is None:
        return there[max(there)]
    if there:
        newest = ", ".join(map(str, list(there)[-_LISTED:]))
        raise NotFoundError(f"there is no {printable(str(reference))}; of its versions there is {newest}")
    names = {_VERSION.sub(r"\1", a.name) for a in site.ledger.get_artifacts(type=reference.type) if a.name}
    hint = nearest(reference.name, names) or " There is no named artifact of that type."
    raise NotFoundError(f"there is no {printable(str(reference))}.{hint}")


def _at_uri(site: Site, uri: str) -> Artifact:
    safe = site.config.redact(uri)  # as it is stored
    if found := site.ledger.get_artifacts(uris=[safe]):
        return found[-1]
    raise NotFoundError(f"no artifact has the URI '{printable(safe)}'; {FORMS}")


def _by_id(site: Site, reference: Reference) -> Artifact:
    if found := site.ledger.get_artifacts(ids=[reference.number or 0]):
        return found[0]
    raise NotFoundError(f"there is no {reference} in the ledger")


def _made_by(site: Site, made: Execution) -> tuple[Artifact, ...]:
    events = site.ledger.get_events(execution_ids=[made.id], types=[EventType.OUTPUT])
    every = site.ledger.get_artifacts(ids=[event.artifact_id for event in events])
    # What a curation found its rows to be like is no input of who names the curation for its rows.
    found = tuple(a for a in every if made.type not in MAKERS or a.type not in ("Statistics", "Anomalies"))
    if not found:
        raise NotFoundError(f"execution:{made.id} made nothing ({made.type}, {made.state.name.lower()})")
    return found


def _raw_files(site: Site, beginning: str) -> tuple[Artifact, ...]:
    found = site.ledger.raw_files(beginning, _LISTED + 1)
    hashes = sorted({sha for _, sha in found})
    if not found:
        raise NotFoundError(f"no raw file's sha256 starts with '{beginning}'; `lakehouse show SOURCE` lists them")
    every = site.ledger.get_artifacts(type="RawFile", external_ids=[f"{source}/{sha}" for source, sha in found])
    if len(hashes) > 1:
        names = {str(a.properties["sha256"]): printable(str(a.properties["name"])) for a in every}
        some = ", ".join(f"{sha} ({names.get(sha, 'unknown')})" for sha in hashes[:_LISTED])
        more = "more than " if len(hashes) > _LISTED else ""
        many = f"{more}{min(len(hashes), _LISTED)}"
        raise NotFoundError(f"'{beginning}' begins {many} raw files: {some}. Write more of the one you mean")
    return tuple(every)
