"""The raw zone: every file hashed again, every manifest there, nothing else in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from lakehouse.errors import NotFoundError, StorageError
from lakehouse.integrity.problems import BACKUP, REPAIR, Problem, problem
from lakehouse.records import Artifact, Progress, fidelity_of, said_of
from lakehouse.site import Site
from lakehouse.storage import Storage, hash_file
from lakehouse.tagged import IMPORT

__all__ = ["check_raw", "manifest_of", "misfit", "raw_folders", "whole"]

_RAW_BACKUP = f"{BACKUP}; or take the file away and land it again from its origin"
_LEVELS = 3  # raw/<source>/<ab>/<sha256>/
_TOLD = ("source", "sha256", "name", "size")  # by the manifest and the ledger


def check_raw(site: Site) -> Iterator[Problem]:
    """Hold the raw zone against the ledger, both ways."""
    artifacts = site.ledger.get_artifacts(type="RawFile")
    total = len(artifacts)
    for at, artifact in enumerate(artifacts):
        if at % 100 == 0:
            site.report(Progress("check", "raw files", at, total, "files"))
        yield from _raw_file(site, artifact)
    site.report(Progress("check", "raw files", total, total, "files", finished=True))
    known = {(str(a.properties["source"]), str(a.properties["sha256"])) for a in artifacts}
    for source, sha in sorted({(s.source, s.sha256) for s in site.ledger.all_sightings()} - known):
        yield problem(
            f"raw/{source}/{sha[:2]}/{sha}",
            "the ledger knows where this content was seen, but not the raw file itself",
            f"touch the file at its origin and run `lakehouse land {source}`: it is landed again",
        )
    yield from _unrecorded(site, {str(PurePosixPath(a.uri).parent): PurePosixPath(a.uri).name for a in artifacts})


def _raw_file(site: Site, artifact: Artifact) -> Iterator[Problem]:
    sha = str(artifact.properties["sha256"])
    try:
        if site.storage.digest(artifact.uri) != sha:
            yield problem(artifact.uri, "no longer matches its hash: its bytes were changed", _RAW_BACKUP)
    except NotFoundError:
        yield problem(artifact.uri, "is gone", _RAW_BACKUP)
    except StorageError as error:
        yield problem(artifact.uri, str(error), _RAW_BACKUP)
    if wrong := misfit(site, artifact):
        yield problem(
            str(PurePosixPath(artifact.uri).parent / "manifest.json"), wrong, f"{REPAIR}: it is written again"
        )


def misfit(site: Site, artifact: Artifact) -> str:
    """What is wrong with a raw file's manifest; "" where it says what the ledger does."""
    manifest = manifest_of(site.storage.path(artifact.uri).parent)
    if manifest is None:
        return "is gone or damaged"
    differing = [name for name in _TOLD if manifest.get(name) != artifact.properties[name]]
    said = said_of(manifest)
    if fidelity_of(said) != fidelity_of(artifact.custom_properties):
        differing.append("fidelity")
    if said.get("facts") != artifact.custom_properties.get("facts"):
        differing.append("facts")
    return f"disagrees with the ledger on {', '.join(differing)}" if differing else ""


def manifest_of(folder: Path) -> dict[str, object] | None:
    """A raw file's manifest; None when it is gone or damaged."""
    try:
        read = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _unrecorded(site: Site, names: Mapping[str, str]) -> Iterator[Problem]:
    """What lies in the raw zone without a record; ``names`` has the file's name by its folder."""
    raw = site.storage.path("raw")
    for folder in _entries(raw):
        uri = folder.relative_to(site.storage.root).as_posix()
        source = folder.relative_to(raw).parts[0]
        if source == ".incoming":
            message, advice = (
                "was left by a landing that is under way or was killed",
                "nothing: the next landing sweeps it",
            )
            yield problem(uri, message, advice, harmless=True)
        elif uri in names:
            if extra := {file.name for file in folder.iterdir()} - {names[uri], "manifest.json"}:
                yield problem(
                    uri, f"holds files that no landing put there: {', '.join(sorted(extra))}", "take them out"
                )
        elif whole(folder):
            message = "is whole but not recorded: its landing was killed"
            command = "import DIR" if source == IMPORT else f"land {source}"
            yield problem(uri, message, f"run `lakehouse {command}`: it is recorded then", harmless=True)
        else:
            yield problem(uri, "was not put there by a landing", "take it out of the raw zone; land it if it is wanted")


def raw_folders(storage: Storage) -> Iterator[Path]:
    """The folders of published raw files, whole or not."""
    for entry in _entries(storage.path("raw")):
        if entry.is_dir() and entry.parts[-_LEVELS] != ".incoming":
            yield entry


def _entries(zone: Path, level: int = 1) -> Iterator[Path]:
    """The folders of raw files, and whatever lies on the way to them."""
    for entry in sorted(zone.iterdir()) if zone.is_dir() else ():
        if level == _LEVELS or not entry.is_dir():
            yield entry
        else:
            yield from _entries(entry, level + 1)


def whole(folder: Path) -> bool:
    """Whether a raw file's folder is what a landing leaves."""
    manifest = manifest_of(folder) or {}
    try:
        return hash_file(folder / Path(str(manifest.get("name"))).name) == folder.name
    except OSError:
        return False
