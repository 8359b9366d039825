"""A lake of its own, into which what was recorded is done once more by the ordinary code.

Raw files are linked into it, or copied where they lie on another disk; datasets that others were looked
up in or derived from are linked as they are recorded. Nothing of the lake itself is changed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

from pydantic import SecretStr

from lakehouse import curation, timeline
from lakehouse.config import Dataset
from lakehouse.errors import LakehouseError, NotFoundError, StorageError
from lakehouse.formats import Format
from lakehouse.metadata import Ledger
from lakehouse.rebuild.recorded import Step, as_recorded
from lakehouse.records import (
    MAKERS,
    Artifact,
    Context,
    EventType,
    ExecutionState,
    Version,
)
from lakehouse.site import Site
from lakehouse.sources.files import FilesSource
from lakehouse.storage import Storage, refused

__all__ = ["Fresh"]


@dataclass(slots=True)
class _Clock:
    """Gives the moment that is being lived through again."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


class Fresh:
    """A fresh lake in a folder, filled step by step; open until its ``with`` ends.

    Args:
        site: the lake whose past is lived through again.
        folder: where; it gets ``data/``.

    Attributes:
        damaged: the raw files (uri) that are gone or no longer what was landed, by sha256.
        failed: why steps could not be done again, by their first execution.
    """

    def __init__(self, site: Site, folder: Path) -> None:
        self._lake = site
        self._folder = folder
        self._clock = _Clock(site.clock())
        self._storage = Storage(folder / "data", self._clock)
        self._datasets: dict[str, Dataset] = {}
        self._sources: dict[str, FilesSource] = {}
        self._landed: set[str] = set()
        self._brought: dict[str, set[int]] = {}
        self.damaged: dict[str, str] = {}
        self.failed: dict[int, str] = {}
        self.codes: dict[int, str] = {}

    def __enter__(self) -> Self:
        with refused(f"preparing {self._folder}"):
            self._storage.root.mkdir(parents=True)
        self._ledger = Ledger(f"sqlite:///{self._storage.root / 'metadata.db'}", self._clock)
        newest = self._lake.ledger.get_executions(newest_first=True, limit=1, only=())
        # What is done here gets higher numbers than all that is brought over with its own.
        self._ledger.restore([], max((execution.id for execution in newest), default=0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ledger.close()

    @property
    def site(self) -> Site:
        """The fresh lake, opened with the configuration of the step that is lived through."""
        config = dataclasses.replace(
            self._lake.config,
            root=self._storage.root,
            metadata=SecretStr(self._ledger_url),
            sources=dict(self._sources),
            datasets=dict(self._datasets),
            jobs={},
            feature_sets={},
            openlineage=None,
        )
        return Site(config, self._storage, self._ledger, self._clock, self._lake.captured)

    @property
    def _ledger_url(self) -> str:
        return f"sqlite:///{self._storage.root / 'metadata.db'}"

    def live(self, step: Step) -> None:
        """Do a step once more; where that fails, `failed` says why.

        Raises:
            StorageError: the disk refused.
        """
        self._clock.now = step.at
        name = step.dataset.name
        for source, format_ in step.formats.items():
            self._sources[source] = _nowhere(source, format_)
        for upstream, number in step.inputs.items():
            self._bring(upstream, number)
        self._datasets[name] = step.dataset
        self._land(step)
        try:
            curation.curate(self.site, name, again=False)
        except StorageError:
            raise
        except LakehouseError as error:
            self.failed[step.executions[0]] = f"{type(error).__name__}: {error}"
        newest = self._ledger.get_executions(
            type=MAKERS, context=("Dataset", name), newest_first=True, limit=1, only=["code"]
        )
        self.codes[step.executions[0]] = next((str(e.properties.get("code", "")) for e in newest), step.code)

    def rows(self, name: str) -> tuple[timeline.Timeline, Version | None]:
        """The dataset's past here, and its newest version; None where nothing was made."""
        past = timeline.read(self._ledger, name)
        return past, past.last

    def _land(self, step: Step) -> None:
        """Put a step's raw files into the raw zone, and record them as they were landed then."""
        whole = [raw for raw in step.raws if self._link(raw)]
        by_source: dict[str, list[Artifact]] = {}
        for raw in whole:
            by_source.setdefault(str(raw.properties["source"]), []).append(raw)
        for source, raws in by_source.items():
            about = Context("Source", source)
            hashes = {str(raw.properties["sha256"]) for raw in raws}
            execution = self.site.begin("Land", about, {})
            self.site.put(
                execution,
                "Land",
                about,
                state=ExecutionState.COMPLETE,
                links=[(dataclasses.replace(raw, id=0, type_id=0), EventType.OUTPUT) for raw in raws],
                properties={"files": len(raws), "new": len(raws), "failed": 0},
                sightings=[s for s in step.sightings if s.source == source and s.sha256 in hashes],
            )

    def _link(self, raw: Artifact) -> bool:
        """Bring a raw file over, if it is what was landed."""
        sha256 = str(raw.properties["sha256"])
        if raw.uri in self._landed:
            return True
        try:
            whole = self._lake.storage.digest(raw.uri) == sha256
        except (NotFoundError, StorageError):
            whole = False
        if not whole:
            self.damaged[sha256] = raw.uri
            return False
        folder = PurePosixPath(raw.uri).parent
        for name in (PurePosixPath(raw.uri).name, "manifest.json"):
            file = self._lake.storage.path(str(folder / name))
            if file.exists():
                _linked(file, self._storage.path(str(folder / name)))
        self._landed.add(raw.uri)
        return True

    def _bring(self, name: str, number: int) -> None:
        """Bring another dataset over as it was at a version: its table, and what the ledger says of it."""
        past = timeline.read(self._lake.ledger, name)
        version = past.at(number)
        brought = self._brought.setdefault(name, set())
        if version.execution in brought:
            return
        table = self._lake.storage.path(version.uri)
        if not self._storage.path(version.uri).exists():
            for file in sorted(file for file in table.rglob("*") if file.is_file()):
                _linked(file, self._storage.path(version.uri) / file.relative_to(table))
        made = {version.execution} | {
            execution.id
            for execution in past.superseding()
            if int(str(execution.properties.get("version", number + 1))) <= number
        }
        wanted = sorted(made - brought)
        self._ledger.restore([_bare(receipt) for receipt in self._lake.ledger.receipts(wanted)])
        brought |= made
        if name not in self._datasets:
            schemas = self._schemas(version)
            dataset, formats, _ = as_recorded(self._lake, name, schemas, (), ())
            self._datasets[name] = dataset
            # A source that the step itself reads from keeps the step's format: what is brought is not read again.
            self._sources = {source: _nowhere(source, one) for source, one in formats.items()} | self._sources

    def _schemas(self, version: Version) -> list[Artifact]:
        events = self._lake.ledger.get_events(execution_ids=[version.execution], types=[EventType.INPUT])
        return self._lake.ledger.get_artifacts(type="Schema", ids=[event.artifact_id for event in events])

    def configure(self) -> None:
        """Write the configuration that the fresh lake can be opened with.

        Raises:
            StorageError: the disk refused.
        """
        configs = self._folder / "configs"
        with refused(f"writing {configs}"):
            _write(configs / "lakehouse.yaml", {"root": "data"})
            for name, source in self._sources.items():
                _write(
                    configs / "sources" / f"{name}.yaml",
                    {
                        **source.model_dump(mode="json", include={"type", "path"}),
                        "format": source.format.model_dump(mode="json"),
                    },
                )
            for name, dataset in self._datasets.items():
                _write(configs / "datasets" / f"{name}.yaml", _plain(dataset))


def _nowhere(name: str, format_: Format) -> FilesSource:
    """A source that offers nothing: what came from it has been landed."""
    return FilesSource(type="files", path=f"nothing/{name}/*", format=format_)


def _bare(receipt: Any) -> Any:
    """What a receipt says of the version that was made, without raw files and what was measured."""
    kept = [artifact for artifact in receipt.artifacts if artifact.type in ("TableVersion", "Schema")]
    ids = {artifact.id for artifact in kept}
    artifacts = [dataclasses.replace(a, properties={k: v for k, v in a.properties.items() if k != "run"}) for a in kept]
    return dataclasses.replace(
        receipt,
        contexts=tuple(context for context in receipt.contexts if context.type == "Dataset"),
        parents=(),
        artifacts=tuple(artifacts),
        events=tuple(event for event in receipt.events if event.artifact_id in ids),
        sightings=(),
    )


def _linked(file: Path, target: Path) -> None:
    """The same bytes at another place: a hard link, or a copy on another disk.

    Raises:
        StorageError: the disk refused.
    """
    with refused(f"bringing {file} to {target}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            return
        try:
            os.link(file, target)
        except OSError:
            shutil.copy2(file, target)


def _plain(dataset: Dataset) -> dict[str, Any]:
    """A dataset as its file says it; what is at its default left out."""
    said: dict[str, Any] = {key: value for key, value in dataset.mapping.items() if value is not None}
    said.pop("max_rejected", None)
    if dataset.inputs:
        for key in ("history", "on_changed_file"):  # what it is, and no file of it may say
            said.pop(key, None)
    own = {"description": dataset.description, "keys": list(dataset.keys), "event_time": dataset.event_time}
    fed: dict[str, Any] = {"source": dataset.source} if dataset.source else {}
    if dataset.sources:
        fed = {
            "sources": {
                name: feed.model_dump(mode="json", by_alias=True, exclude_defaults=True)
                for name, feed in dataset.sources.items()
            }
        }
    every = {**fed, **said, **own, "partition_by": list(dataset.partition_by), "schema": dataset.schema.plain()}
    return {key: value for key, value in every.items() if value or value is False}


def _write(file: Path, values: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8")  # YAML takes JSON
