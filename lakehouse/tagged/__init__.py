"""Tags as the ledger keeps them: what each names, and the rows that came into the lake with an imported one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from lakehouse.errors import ConfigError, NotFoundError, StorageError, nearest
from lakehouse.records import Artifact, Tag, printable, raw_id
from lakehouse.site import Site
from lakehouse.tagged.manifests import Exported, File, Form, Manifest, RawOf

__all__ = [
    "IMPORT",
    "TAG",
    "Exported",
    "File",
    "Form",
    "Manifest",
    "RawOf",
    "every",
    "file",
    "find",
    "imported",
    "manifest",
    "tag_of",
    "version",
]

TAG = "Tag"
"""The type of a tag's artifact."""

IMPORT = "import"
"""The source whose raw files are what was imported."""


def every(site: Site) -> tuple[Tag, ...]:
    """All tags, in the order they were made."""
    return tuple(map(tag_of, site.ledger.get_artifacts(type=TAG)))


def find(site: Site, name: str) -> Tag:
    """The tag of a name.

    Raises:
        NotFoundError: there is none; suggests the nearest.
    """
    if found := site.ledger.get_artifacts(type=TAG, names=[name]):
        return tag_of(found[0])
    known = [tag.name for tag in every(site)]
    hint = nearest(name, known) or " There is none yet; make one with `lakehouse tag NAME`."
    raise NotFoundError(f"no tag '{printable(name)}'.{hint}")


def version(site: Site, name: str, dataset: str) -> int:
    """The version of a dataset of this lake that a tag names.

    Raises:
        NotFoundError: there is no such tag, or it does not name the dataset.
        ConfigError: the tag was imported: its versions are another lake's.
    """
    tag = find(site, name)
    _named(tag, dataset)
    if tag.manifest:
        raise ConfigError(
            f"tag '{name}' was imported: this lake holds the rows of '{dataset}' at it, and no version; "
            f"read them with `lakehouse read {dataset} --tag {name}`"
        )
    return tag.versions[dataset]


def imported(site: Site, name: str, dataset: str) -> pl.LazyFrame | None:
    """The rows of a dataset at an imported tag, as its export holds them; None where the tag is this lake's own.

    Raises:
        NotFoundError: there is no such tag, or it does not name the dataset.
        StorageError: what was imported is gone or damaged.
    """
    tag = find(site, name)
    _named(tag, dataset)
    if not tag.manifest:
        return None
    return _scan(site, manifest(site, tag).datasets[dataset])


def manifest(site: Site, tag: Tag) -> Manifest:
    """What the export said that an imported tag came with.

    Raises:
        StorageError: it is gone or damaged.
    """
    (raw,) = _raw(site, [tag.manifest])
    try:
        return Manifest.from_json(site.storage.path(raw.uri).read_bytes())
    except (OSError, ValueError) as error:
        raise StorageError(f"'{raw.uri}' cannot be read: {error}; `lakehouse check` tells what is damaged") from error


def file(site: Site, sha256: str) -> Path:
    """An imported file of that content.

    Raises:
        StorageError: the ledger does not know it.
    """
    (raw,) = _raw(site, [sha256])
    return site.storage.path(raw.uri)


def tag_of(artifact: Artifact) -> Tag:
    """A tag out of its artifact."""
    p = artifact.properties
    return Tag(
        name=str(artifact.name),
        moment=datetime.fromisoformat(str(p["moment"])),
        versions=json.loads(str(p["versions"])),
        description=str(p.get("description", "")),
        execution=int(str(p["execution"])),
        manifest=str(p.get("manifest", "")),
    )


def _named(tag: Tag, dataset: str) -> None:
    if dataset not in tag.versions:
        raise NotFoundError(f"tag '{tag.name}' does not name '{printable(dataset)}'.{nearest(dataset, tag.versions)}")


def _scan(site: Site, one: Exported) -> pl.LazyFrame:
    files = _raw(site, [file.sha256 for file in one.files])
    return pl.scan_parquet([site.storage.path(file.uri) for file in files], glob=False)


def _raw(site: Site, hashes: Sequence[str]) -> list[Artifact]:
    """The imported raw files with these contents, in their order."""
    found = site.ledger.get_artifacts(type="RawFile", external_ids=[raw_id(IMPORT, sha) for sha in hashes])
    by_hash = {str(artifact.properties["sha256"]): artifact for artifact in found}
    if missing := [sha for sha in hashes if sha not in by_hash]:
        raise StorageError(f"the ledger does not know raw file {missing[0]} of source '{IMPORT}'; import it again")
    return [by_hash[sha] for sha in hashes]
