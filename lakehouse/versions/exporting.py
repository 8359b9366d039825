"""Exports: the rows that a tag names as plain files in a folder, with a manifest that says what they are.

Files are named by their content, so that a folder that holds older exports gets only what it lacks. The manifest comes
last: an export that it names is whole.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from lakehouse import tagged, timeline
from lakehouse.errors import ConfigError, FormatError, NotFoundError
from lakehouse.faults import point
from lakehouse.records import Artifact, EventType, ExecutionState, Progress, Tag, Value, Version
from lakehouse.site import Site
from lakehouse.storage import hash_file
from lakehouse.tagged import Exported, File, Form, Manifest
from lakehouse.timeline import Timeline
from lakehouse.versions.contents import contents
from lakehouse.versions.folders import Folder, manifest_path
from lakehouse.versions.pieces import pieces
from lakehouse.versions.sides import Side

__all__ = ["Export", "export"]


@dataclass(frozen=True, slots=True)
class Export:
    """What one export did.

    Attributes:
        folder: where it lies.
        manifest: its manifest, relative to the folder.
        files: how many files of rows it has.
        written: how many of these the folder lacked.
        size: bytes of all of them.
        personal: by dataset, the columns that hold personal data.
    """

    tag: str
    folder: Path
    manifest: str
    execution: int
    datasets: int
    rows: int
    files: int
    written: int
    size: int
    personal: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Holds(Protocol):
    """Tells which columns of datasets hold personal data."""

    def __call__(self, site: Site) -> Mapping[str, Sequence[str]]:
        """The columns by dataset."""


def export(site: Site, name: str, folder: Path, form: Form = "parquet", *, personal: Holds) -> Export:
    """Write the rows that a tag names, and what they are, into a folder.

    Args:
        site: the opened lake.
        name: the tag's name.
        folder: where to; made where there is none. It may hold other exports.
        form: ``parquet``, or ``csv`` for programs that read nothing else: what a lake cannot import again.
        personal: tells which columns hold personal data.

    Raises:
        NotFoundError: there is no such tag.
        ConfigError: there is no such form, or the tag was imported and is wanted as CSV.
        StorageError: rows cannot be read, or the disk refused; no manifest names what is half-written.
        CommitError: another export into the folder has taken too long.
    """
    if form not in ("parquet", "csv"):
        raise ConfigError(f"'{form}' is no form of an export; give parquet or csv")
    tag = tagged.find(site, name)
    if tag.manifest and form != "parquet":
        raise ConfigError(f"tag '{name}' was imported as Parquet, and is exported only as that")
    place = Folder(folder.absolute())
    with place.alone(site.clock):
        held = {} if tag.manifest else {dataset: tuple(columns) for dataset, columns in personal(site).items()}
        with site.step("Export", _properties(tag, form, held), _inputs(site, tag)) as execution:
            point("export.begun")
            exporting = _Exporting(site, tag, place, form, held)
            manifest = exporting.passed_on() if tag.manifest else exporting.made(execution)
            point("export.written")
            text = manifest.to_json().encode()
            beside = place.beside()
            beside.write_bytes(text)
            place.take(beside, manifest_path(tag.name))
            point("export.placed")
            links = [(_artifact(tag, place.path, form, manifest, text), EventType.OUTPUT)]
            site.put(execution, "Export", None, state=ExecutionState.COMPLETE, links=links)
    return Export(
        tag.name,
        place.path,
        manifest_path(tag.name),
        execution,
        datasets=len(manifest.datasets),
        rows=sum(one.rows for one in manifest.datasets.values()),
        files=len(manifest.files),
        written=exporting.written,
        size=sum(file.size for file in manifest.files),
        personal={dataset: one.personal for dataset, one in manifest.datasets.items() if one.personal},
    )


def _properties(tag: Tag, form: Form, held: Mapping[str, Sequence[str]]) -> dict[str, Value]:
    # All columns are read; those that are personal are named, as it is sure then that the export holds them.
    columns = {f"{name}@{number}": list(held[name]) for name, number in tag.versions.items() if held.get(name)}
    return {"tag": tag.name, "form": form, "columns": json.dumps(columns, ensure_ascii=False)}


def _inputs(site: Site, tag: Tag) -> list[tuple[Artifact | int, EventType]]:
    """What an export reads: the tag, and the versions of this lake that it names."""
    found = site.ledger.get_artifacts(type=tagged.TAG, names=[tag.name])
    if not tag.manifest:
        names = [f"{dataset}@{number}" for dataset, number in tag.versions.items()]
        found = [*found, *site.ledger.get_artifacts(type="TableVersion", names=names)]
    return [(artifact.id, EventType.INPUT) for artifact in found]


def _artifact(tag: Tag, folder: Path, form: Form, manifest: Manifest, text: bytes) -> Artifact:
    digest, uri = hashlib.sha256(text).hexdigest(), folder.as_uri()
    identity = hashlib.sha256(f"{uri} {digest}".encode()).hexdigest()
    return Artifact(
        "Export",
        name=f"{tag.name}:{identity[:12]}",
        uri=uri,
        external_id=f"Export:{identity}",
        properties={"tag": tag.name, "form": form, "manifest": digest, "files": len(manifest.files)},
    )


class _Exporting:
    """One export under way, and how many files it wrote so far."""

    def __init__(self, site: Site, tag: Tag, place: Folder, form: Form, held: Mapping[str, tuple[str, ...]]) -> None:
        self.site = site
        self.tag = tag
        self.place = place
        self.form = form
        self.held = held
        self.written = 0

    def made(self, execution: int) -> Manifest:
        """Write the files of a tag of this lake; what the manifest says of them."""
        before = self._before()
        datasets = {}
        with self.site.storage.work(f"export/{execution}") as work:
            for at, (name, number) in enumerate(sorted(self.tag.versions.items())):
                self.site.report(Progress("export", self.tag.name, at, len(self.tag.versions), "datasets"))
                past, version = timeline.asked(self.site, name, number)
                kept = before.get(name)
                if kept is not None and kept.version == number and all(map(self.place.whole, kept.files)):
                    files, columns = kept.files, dict(kept.columns)
                else:
                    files, columns = self._files(past, version, work)
                datasets[name] = self._told(past, version, files, columns)
        total = len(self.tag.versions)
        self.site.report(Progress("export", self.tag.name, total, total, "datasets", finished=True))
        lake = self.site.config.project.name
        return Manifest(self.tag.name, lake, self.tag.moment, self.tag.description, self.form, datasets)

    def passed_on(self) -> Manifest:
        """Copy the files of a tag that was imported; its manifest stays as it is."""
        manifest = tagged.manifest(self.site, self.tag)
        for file in manifest.files:
            if not self.place.whole(file):
                beside = self.place.beside()
                shutil.copyfile(tagged.file(self.site, file.sha256), beside)
                self.written += self.place.take(beside, file.path)
        return manifest

    def _before(self) -> Mapping[str, Exported]:
        """What the folder holds of this very tag in this form; of a damaged manifest nothing."""
        try:
            found, _ = self.place.manifest(self.tag.name)
        except (NotFoundError, FormatError):
            return {}
        return found.datasets if found.form == self.form and found.moment == self.tag.moment else {}

    def _files(self, past: Timeline, version: Version, work: Path) -> tuple[tuple[File, ...], dict[str, str]]:
        """Write the rows of a version; its files, and its columns with their dtypes."""
        files, columns = [], dict[str, str]()
        for piece in pieces(self.site, past, version, work):
            columns = {name: str(dtype) for name, dtype in piece.schema.items()}
            beside = self.place.beside()
            if self.form == "parquet":
                piece.write_parquet(beside, compression="zstd")
            else:
                _flat(piece).write_csv(beside)
            sha256, size = hash_file(beside), beside.stat().st_size
            path = f"data/{version.dataset}/{sha256}.{self.form}"
            self.written += self.place.take(beside, path)
            files.append(File(path, piece.height, size, sha256))
        return tuple(files), columns

    def _told(self, past: Timeline, version: Version, files: tuple[File, ...], columns: dict[str, str]) -> Exported:
        made = contents(self.site, past, version, origins=True)
        schema = Side(self.site, version.dataset, "", past, version).schema
        return Exported(
            version=version.version,
            committed_at=version.committed_at,
            rows=sum(file.rows for file in files),
            history=version.history,
            keys=version.keys,
            columns=columns,
            personal=tuple(name for name in columns if name in self.held.get(version.dataset, ())),
            schema={} if schema is None else json.loads(schema.to_json()),
            configuration=made.configuration,
            code=made.code,
            files=files,
            raw=made.raw,
            inputs=made.inputs,
        )


def _flat(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows as CSV can hold them: lists and structs as JSON, bytes in base64."""
    flat = []
    for name, dtype in rows.schema.items():
        if dtype.is_nested():
            wrapped = pl.struct(pl.col(name).alias("_")).struct.json_encode()  # {"_":...}
            inner = wrapped.str.slice(5).str.head(-1)
            flat.append(pl.when(pl.col(name).is_not_null()).then(inner).alias(name))
        else:
            flat.append(pl.col(name).bin.encode("base64") if dtype == pl.Binary else pl.col(name))
    return rows.select(flat)
