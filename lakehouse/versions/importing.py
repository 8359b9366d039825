"""Imports: what another lake exported, verified, into the raw zone, under the tag that it was exported by.

Only what the lake lacks is copied. Nothing is visible before all of it was verified and lies in its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from lakehouse import tagged
from lakehouse.errors import ConfigError, FormatError, IntegrityError, NotFoundError, SourceError, StorageError
from lakehouse.faults import point
from lakehouse.records import Artifact, EventType, ExecutionState, Progress, Sighting, Tag, Value, raw_id
from lakehouse.site import Site
from lakehouse.storage import Staged
from lakehouse.tagged import IMPORT, File, Manifest
from lakehouse.versions.folders import Folder, manifest_path
from lakehouse.versions.tagging import alone, artifact, named, taken

__all__ = ["Import", "import_"]

_AGAIN = "export it again; nothing was imported"


@dataclass(frozen=True, slots=True)
class Import:
    """What one import did.

    Attributes:
        tag: the tag, as this lake knows it now.
        lake: what the lake that exported it is called.
        execution: 0 where all of it was there before.
        files: how many files of rows it has.
        new: how many of these the lake lacked.
        size: bytes that were copied.
        personal: by dataset, the columns that hold personal data.
    """

    tag: Tag
    lake: str
    execution: int
    rows: int
    files: int
    new: int
    size: int
    personal: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Describe(Protocol):
    """Says what stands in the manifest beside a raw file."""

    def __call__(self, raw: Artifact, origin: str, execution: int) -> Mapping[str, Any]:
        """Of a raw file's artifact, where it came from and the execution that stored it."""


def import_(site: Site, folder: Path, tag: str | None = None, *, describe: Describe) -> Import:
    """Take in what another lake exported, under the same tag.

    Args:
        site: the opened lake.
        folder: what the export was written into.
        tag: which; None for the only one there.
        describe: says what stands in the manifest beside a raw file.

    Raises:
        NotFoundError: the folder holds no export, or not of that tag.
        ConfigError: it holds several and none is named, or a source of this lake is called ``import``.
        FormatError: the manifest is damaged, or the files are CSV.
        IntegrityError: a file is not what the manifest says, or is gone; nothing of the export is visible.
        RecordError: the tag names something else in this lake.
        StorageError: the disk refused.
    """
    if IMPORT in site.config.sources:
        raise ConfigError(f"a source is called '{IMPORT}', which is where imported files are kept; rename it")
    place = Folder(folder.absolute())
    manifest, text = place.manifest(_which(place) if tag is None else tag)
    if manifest.form != "parquet":
        raise FormatError(
            f"{folder} holds tag '{manifest.tag}' as {manifest.form}, which does not keep types; export it as parquet"
        )
    named(manifest.tag)
    with site.storage.lock("source", IMPORT), alone(site):
        importing = _Importing(site, place, manifest, text, describe)
        before = _known(site, manifest)
        # One of this lake's own, or imported out of another folder: all of it is here.
        if before is not None and (before.manifest != importing.digest or not importing.missing):
            return importing.result(before, 0)
        properties: dict[str, Value] = {"tag": manifest.tag, "lake": manifest.lake, "manifest": importing.digest}
        with site.step("Import", properties) as execution:
            point("import.begun")
            return importing.result(importing.take(before, execution), execution)


def _which(place: Folder) -> str:
    tags = place.tags()
    if not tags:
        raise NotFoundError(f"{place.path} holds no export; `lakehouse export TAG DIR` writes one")
    if len(tags) > 1:
        raise ConfigError(f"{place.path} holds several exports; say which tag is meant: {', '.join(tags)}")
    return tags[0]


def _known(site: Site, manifest: Manifest) -> Tag | None:
    """The tag of that name in this lake; None where there is none.

    Raises:
        RecordError: it names something else.
    """
    try:
        tag = tagged.find(site, manifest.tag)
    except NotFoundError:
        return None
    lake = tagged.manifest(site, tag).lake if tag.manifest else manifest.lake
    if (tag.versions, tag.moment, lake) != (manifest.versions, manifest.moment, manifest.lake):
        raise taken(tag)
    return tag


class _Importing:
    """One import under way.

    Attributes:
        digest: of the export's manifest.
        missing: the files that the lake lacks, by hash; the manifest too.
    """

    def __init__(self, site: Site, place: Folder, manifest: Manifest, text: bytes, describe: Describe) -> None:
        self.site = site
        self.place = place
        self.manifest = manifest
        self.text = text
        self.describe = describe
        self.digest = hashlib.sha256(text).hexdigest()
        self.files = {file.sha256: file for file in manifest.files}
        self.files[self.digest] = File(manifest_path(manifest.tag), 0, len(text), self.digest)
        ids = [raw_id(IMPORT, sha256) for sha256 in self.files]
        self.known = {str(a.properties["sha256"]): a for a in site.ledger.get_artifacts(external_ids=ids)}
        self.missing = {sha256: file for sha256, file in self.files.items() if not self._held(file)}

    def take(self, before: Tag | None, execution: int) -> Tag:
        """Copy what is missing, verify it, put it in its place, and record it with the tag."""
        self.site.storage.discard_incoming(IMPORT)  # what a killed import left
        arrived = [self._staged(at, file) for at, file in enumerate(self.missing.values())]
        point("import.staged")
        now = self.site.clock()
        raw = [self._artifact(staged, now) for staged in arrived]
        manifests = [
            self.describe(artifact, self._origin(staged.sha256), execution)
            for staged, artifact in zip(arrived, raw, strict=True)
        ]
        uris = self.site.storage.publish(IMPORT, list(zip(arrived, manifests, strict=True)))
        point("import.published")
        placed = [replace(artifact, uri=uri) for artifact, uri in zip(raw, uris, strict=True)]
        there = [self.known[sha256] for sha256 in self.files if sha256 not in self.missing]
        m = self.manifest
        tag = before or Tag(m.tag, m.moment, m.versions, m.description, execution, self.digest)
        outputs = [*there, *placed, *([] if before else [artifact(self.site, tag)])]
        self.site.put(
            execution,
            "Import",
            None,
            state=ExecutionState.COMPLETE,
            links=[(made, EventType.OUTPUT) for made in outputs],
            sightings=[Sighting(IMPORT, self._origin(one.sha256), one.size, "", one.sha256, now) for one in arrived],
        )
        return tag

    def result(self, tag: Tag, execution: int) -> Import:
        """What was done."""
        new = self.missing if execution else {}
        return Import(
            tag,
            self.manifest.lake,
            execution,
            rows=sum(one.rows for one in self.manifest.datasets.values()),
            files=len(self.files) - 1,
            new=len(new.keys() - {self.digest}),
            size=sum(file.size for file in new.values()),
            personal={name: one.personal for name, one in self.manifest.datasets.items() if one.personal},
        )

    def _held(self, file: File) -> bool:
        artifact = self.known.get(file.sha256)
        path = None if artifact is None else self.site.storage.path(artifact.uri)
        return path is not None and path.is_file() and path.stat().st_size == file.size

    def _staged(self, at: int, file: File) -> Staged:
        """One file of the export, copied beside the raw zone and verified on the way."""
        self.site.report(Progress("import", self.manifest.tag, at, len(self.missing), "files"))
        path = self.place.path / file.path
        if file.sha256 == self.digest:
            return self.site.storage.stage(IMPORT, self._name(file), iter([self.text]), file.size)
        try:
            staged = self.site.storage.stage(IMPORT, self._name(file), path, file.size)
        except SourceError:
            raise IntegrityError(f"{path} is not what was exported: its size is another; {_AGAIN}") from None
        except StorageError as error:
            if path.is_file():
                raise
            raise IntegrityError(f"{path} is gone; {_AGAIN}") from error
        if staged.sha256 != file.sha256:
            raise IntegrityError(f"{path} is not what was exported: its hash is another; {_AGAIN}")
        return staged

    def _artifact(self, staged: Staged, now: datetime) -> Artifact:
        identity = raw_id(IMPORT, staged.sha256)
        properties: dict[str, Value] = {
            "source": IMPORT,
            "sha256": staged.sha256,
            "name": staged.name,
            "size": staged.size,
            "landed_at": now.isoformat(),
        }
        return Artifact("RawFile", name=identity, external_id=identity, properties=properties)

    def _name(self, file: File) -> str:
        """What a file is called in the raw zone."""
        if file.sha256 == self.digest:
            return f"{self.manifest.tag.replace('/', '.')}.json"
        dataset = next(name for name, one in self.manifest.datasets.items() if file in one.files)
        return f"{dataset.replace('/', '.')}.parquet"

    def _origin(self, sha256: str) -> str:
        return str(self.place.path / self.files[sha256].path)
