"""Keeping: versions that are named, compared, pinned, and carried from lake to lake."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from lakehouse import evolution, landing, lineage, optimization, rebuild, tagged, versions
from lakehouse.lake.opened import Opened
from lakehouse.records import Tag
from lakehouse.site import Site
from lakehouse.tagged import Form

__all__ = ["Keeping"]


class Keeping(Opened):
    """Keeping: versions that are named, compared, pinned, and carried from lake to lake."""

    def tag(
        self,
        name: str,
        datasets: Collection[str] = (),
        *,
        as_of: datetime | str | None = None,
        description: str = "",
    ) -> Tag:
        """Give a name to versions of datasets, all as they were visible at one moment. It never comes to mean others.

        Args:
            name: letters, digits and ``._-/``: ``v1``, ``report/2026-03``.
            datasets: which; () for all that had a version then.
            as_of: the moment; None for now, or in a lake opened with a lock for what that pins.
            description: for people.

        Returns:
            The tag; one that names just these versions already is given back as it is.

        Raises:
            ConfigError: the name cannot be one.
            NotFoundError: no such dataset, or it had no version then.
            RecordError: the name stands for other versions.
        """
        return versions.tag(self._site, name, datasets, as_of=as_of, description=description)

    def tags(self) -> tuple[Tag, ...]:
        """Every tag, in the order they were made."""
        return tagged.every(self._site)

    def diff(
        self, a: versions.Point, b: versions.Point, dataset: str | None = None, *, statistics: bool = True
    ) -> versions.Difference:
        """What differs between two states: rows, columns, schema, statistics, and why; ``print`` it.

        Args:
            a: ``aviation/flights@3``, ``tag:v1``, a moment or, with a dataset, a version's number.
            b: the other, likewise.
            dataset: which; None for the one that ``a`` or ``b`` names, else for all that either holds.
            statistics: tell how far the values are apart too. What curations kept is added up for that; where rows of
                a batch were superseded in part, the batch is measured again.

        Raises:
            NotFoundError: there is no such dataset, version or tag, or none at that moment.
            ConfigError: one of them cannot be read, or they are of different datasets.
        """
        measure = evolution.statistics if statistics else None
        return versions.diff(self._site, a, b, dataset, causes=lineage.causes, statistics=measure)

    def pin(self, path: str | Path = "lakehouse.lock", *, check: bool = False) -> versions.Lock:
        """Write a lock: the newest version of every dataset, and what each was made of. ``Lake(lock=...)`` reads by it.

        Args:
            path: the lock's file, for Git; one that pins just these versions already is left as it is.
            check: write nothing, only tell what differs from the file, in ``differences``.

        Raises:
            NotFoundError: no dataset has a version; with ``check`` also where there is no such file.
            ConfigError: the file is there and is no lock.
        """
        return versions.pin(self._site, Path(path), check=check)

    def export(self, tag: str, folder: str | Path, form: Form = "parquet") -> versions.Export:
        """Write the rows that a tag names into a folder as plain files, with a manifest that says what they are.

        Args:
            tag: the tag's name.
            folder: where to; what it holds already of these rows is not written again.
            form: ``parquet``, or ``csv`` for programs that read nothing else.

        Raises:
            NotFoundError: there is no such tag.
            StorageError: rows cannot be read, or the disk refused.
        """
        return versions.export(self._site, tag, Path(folder), form, personal=_personal)

    def import_(self, folder: str | Path, tag: str | None = None) -> versions.Import:
        """Take in what another lake exported, verified; ``read(dataset, tag=...)`` then gives its rows.

        Args:
            folder: what the export was written into.
            tag: which of its tags; None for the only one.

        Raises:
            NotFoundError: the folder holds no export, or not of that tag.
            FormatError: the manifest is damaged, or the files are CSV.
            IntegrityError: a file is not what was exported; nothing was imported.
            RecordError: the tag names something else in this lake.
        """
        return versions.import_(self._site, Path(folder), tag, describe=landing.manifest)

    def optimize(self, dataset: str) -> optimization.Optimized:
        """Write a dataset's small parts again as few sorted ones. No row, version or answer changes by it.

        Args:
            dataset: the dataset.

        Returns:
            What was done; its ``execution`` is 0 where there was nothing to do.

        Raises:
            NotFoundError: no such dataset.
            IntegrityError: a part is no longer what was sealed; nothing was changed.
            CommitError: the dataset is busy; safe to run again.
        """
        return optimization.optimize(self._site, dataset)

    def rebuild(
        self,
        dataset: str | None = None,
        *,
        all: bool = False,  # noqa: A002  # the command's own word
        version: int | None = None,
        into: str | Path | None = None,
    ) -> rebuild.Rebuilt:
        """Make a dataset again from its raw files, as it was configured then, and compare it row for row.

        Args:
            dataset: the dataset.
            all: all datasets that have a version, in place of one.
            version: as it was at this version; None for the newest.
            into: a new folder to keep the lake in that it is made in; None throws that away.

        Returns:
            What was compared; ``same`` is the verdict.

        Raises:
            NotFoundError: no such dataset or version.
            ConfigError: both a dataset and all, or neither; or ``into`` is not empty.
        """
        return rebuild.rebuild(
            self._site, dataset, every=all, version=version, into=None if into is None else Path(into)
        )


def _personal(site: Site) -> Mapping[str, Sequence[str]]:
    """The columns of datasets that hold personal data, or perhaps do."""
    held: dict[str, list[str]] = {}
    for holding in lineage.personal(site).holdings:
        if holding.kind == "Column":
            dataset, _, column = holding.name.partition(".")
            held.setdefault(dataset, []).append(column)
    return held
