"""What differs between two states of datasets: rows, columns, schema and statistics, and why.

Holds no row: those that differ are asked for lazily.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol

import polars as pl

from lakehouse.errors import StorageError
from lakehouse.records import printable
from lakehouse.schema import Schema
from lakehouse.schema.differences import Difference as SchemaDifference
from lakehouse.schema.differences import differences
from lakehouse.site import Site
from lakehouse.validation.anomalies.distances import infinity_norm, jensen_shannon
from lakehouse.validation.statistics import Statistics
from lakehouse.validation.statistics.feature import NUMBERS, TEMPORAL
from lakehouse.versions.comparing import Kind, changes, compared
from lakehouse.versions.sides import Point, Side, sides

__all__ = ["DatasetDifference", "Difference", "Drift", "diff"]

_SHOWN = 10  # columns and features told by ``str()``
_APART = 1e-4  # statistics that are nearer are not told


class Explained(Protocol):
    """Why one version differs from another; ``str()`` tells it line by line after a heading."""

    def to_json(self) -> str:
        """Everything, as one JSON object."""


class Explain(Protocol):
    """Tells why a version differs from another of its dataset."""

    def __call__(self, site: Site, what: str, against: int | None) -> Explained:
        """Of ``aviation/flights@12`` against another version's number."""


class Measure(Protocol):
    """Tells the statistics of a version of a dataset."""

    def __call__(self, site: Site, name: str, *, version: int | None) -> Statistics:
        """Of one version."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How far the values of a feature are apart, 0 (alike) to 1.

    Attributes:
        measure: ``jensen_shannon`` of numbers and moments, ``infinity_norm`` of others.
    """

    feature: str
    measure: Literal["jensen_shannon", "infinity_norm"]
    distance: float


@dataclass(frozen=True)
class DatasetDifference:
    """What differs of one dataset. ``str()`` tells it line by line.

    A row of a keyed dataset, or of events whose keys name one row each, is changed where its key is on both sides with
    other values; else it is added and removed. Rows with the same values are no difference, wherever they came from. A
    column that one side lacks is null there.

    Attributes:
        before: the one side, ``aviation/flights@3``; None where the dataset is not on it.
        after: the other.
        added: rows that only the other side shows.
        removed: rows that only the one side shows.
        changed: rows whose values changed.
        columns: in how many of these each column changed; those that did not are left out.
        schema: what differs between the schemas that the sides were made under.
        drift: features whose values are distributed otherwise, the farthest apart first.
        causes: the raw files, code and configuration between two versions of this lake; else None.
    """

    dataset: str
    before: str | None
    after: str | None
    added: int = 0
    removed: int = 0
    changed: int = 0
    columns: Mapping[str, int] = field(default_factory=dict)
    schema: tuple[SchemaDifference, ...] = ()
    drift: tuple[Drift, ...] = ()
    causes: Explained | None = None
    _frames: Mapping[Kind, pl.LazyFrame] = field(default_factory=dict, repr=False, compare=False)

    @property
    def same(self) -> bool:
        """Whether the two sides show the same rows under the same schema."""
        return not (self.added or self.removed or self.changed or self.schema)

    def rows(self, kind: Kind) -> pl.LazyFrame:
        """The rows that were added, removed or changed, lazily.

        Returns:
            The features and provenance; of changed rows the keys, and as structs ``before`` and ``after``.
        """
        return self._frames.get(kind, pl.LazyFrame())

    def plain(self) -> dict[str, object]:
        """All but the rows, as JSON has it."""
        return {
            "dataset": self.dataset,
            "before": self.before,
            "after": self.after,
            "rows": {"added": self.added, "removed": self.removed, "changed": self.changed},
            "columns": dict(self.columns),
            "schema": [asdict(one) for one in self.schema],
            "drift": [asdict(one) for one in self.drift],
            "causes": None if self.causes is None else json.loads(self.causes.to_json()),
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{self.dataset}: {self.before or 'not there'} -> {self.after or 'not there'}"
        if self.before == self.after:
            yield "  the same version"
            return
        yield f"  rows: {self.added:,} added, {self.removed:,} removed, {self.changed:,} changed"
        if self.columns:
            yield f"  columns changed: {_few([f'{name} in {rows:,}' for name, rows in self.columns.items()])}"
        for one in self.schema:
            where = f"feature {one.path}" if one.path else "the dataset"
            said = f": {one.key}" if one.key else ""
            yield printable(f"  schema: {where}{said} {_value(one.before)} -> {_value(one.after)}")
        if self.drift:
            yield f"  values apart: {_few([f'{one.feature} {one.distance:.4f}' for one in self.drift])}"
        if self.causes is not None:
            yield from str(self.causes).splitlines()[1:]


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two points, dataset by dataset. ``str()`` tells it line by line.

    Attributes:
        a: the one point, as it was asked for.
        b: the other.
        datasets: what differs of each dataset that either of them holds.
    """

    a: str
    b: str
    datasets: Mapping[str, DatasetDifference]

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return all(one.same for one in self.datasets.values())

    def to_json(self) -> str:
        """All but the rows, as one JSON object."""
        plain = {"a": self.a, "b": self.b, "datasets": [one.plain() for one in self.datasets.values()]}
        return json.dumps(plain, ensure_ascii=False, indent=2, default=str)

    def __str__(self) -> str:
        return "\n".join(str(one) for one in self.datasets.values())


def diff(  # noqa: PLR0913  # what explains it, by name
    site: Site, a: Point, b: Point, dataset: str | None = None, *, causes: Explain, statistics: Measure | None
) -> Difference:
    """What differs between two states of one dataset, or of all that two tags or moments hold.

    Args:
        site: the opened lake.
        a: ``aviation/flights@3``, ``tag:v1``, a moment or, with a dataset, a version's number.
        b: the other, likewise.
        dataset: which; None for the one that ``a`` or ``b`` names, else for all.
        causes: tells why versions differ.
        statistics: tells what their values are like; None leaves that out.

    Raises:
        NotFoundError: there is no such dataset, version or tag, or none at that moment.
        ConfigError: a point cannot be read, or the two are of different datasets.
        StorageError: rows that must be read cannot be.
    """
    found = {}
    for one, other in sides(site, a, b, dataset):
        side = one or other
        if side is not None:
            found[side.dataset] = _difference(site, one, other, causes, statistics)
    return Difference(str(a), str(b), found)


def _difference(
    site: Site, one: Side | None, other: Side | None, causes: Explain, statistics: Measure | None
) -> DatasetDifference:
    if one is None or other is None:
        return _alone(one, other)
    if one.label == other.label:
        return DatasetDifference(one.dataset, one.label, other.label)
    frames = compared(one, other)
    counts, columns = _counted(one.dataset, frames)
    drift: tuple[Drift, ...] = ()
    why = None
    if one.version is not None and other.version is not None:
        numbers = one.version.version, other.version.version
        if statistics is not None:
            before, after = (statistics(site, one.dataset, version=number) for number in numbers)
            drift = tuple(_drift(before, after))
        why = causes(site, other.label, numbers[0])
    return DatasetDifference(
        one.dataset,
        one.label,
        other.label,
        added=counts["added"],
        removed=counts["removed"],
        changed=counts["changed"],
        columns={name: rows for name, rows in columns.items() if rows},
        schema=_schemas(one.schema, other.schema),
        drift=drift,
        causes=why,
        _frames=frames,
    )


def _alone(one: Side | None, other: Side | None) -> DatasetDifference:
    """A dataset that only one side holds."""
    side, kind = (one, "removed") if one is not None else (other, "added")
    assert side is not None  # noqa: S101  # one of them holds it
    rows = side.state
    count = _collected(side.dataset, [rows.select(pl.len())])[0].item()
    return DatasetDifference(
        side.dataset,
        None if one is None else one.label,
        None if other is None else other.label,
        added=count if kind == "added" else 0,
        removed=count if kind == "removed" else 0,
        _frames={"added" if kind == "added" else "removed": rows},
    )


def _counted(dataset: str, frames: Mapping[Kind, pl.LazyFrame]) -> tuple[dict[str, int], dict[str, int]]:
    """Rows of each kind, and under each column how many changed rows changed in it."""
    counts: dict[str, int] = {"added": 0, "removed": 0, "changed": 0}
    queries = [frame.select(pl.len().alias(kind)) for kind, frame in frames.items() if kind != "changed"]
    changed = frames.get("changed")
    columns: dict[str, int] = {}
    if changed is not None:
        queries.append(changed.select(changed=pl.len()))
        queries.append(changed.select(changes(changed)))
    for found in _collected(dataset, queries):
        row = found.row(0, named=True)
        (counts if row.keys() <= counts.keys() else columns).update(row)
    return counts, columns


def _collected(dataset: str, queries: Sequence[pl.LazyFrame]) -> list[pl.DataFrame]:
    try:
        return pl.collect_all(queries, engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise StorageError(
            f"dataset '{dataset}' cannot be compared: {why}; `lakehouse check` tells what is damaged"
        ) from error


def _schemas(before: Schema | None, after: Schema | None) -> tuple[SchemaDifference, ...]:
    return () if before is None or after is None else differences(before, after)


def _drift(before: Statistics, after: Statistics) -> list[Drift]:
    """Features that both sides have, by how far their values are apart."""
    found = []
    for name in before.features.keys() & after.features.keys():
        one, other = after.features[name], before.features[name]
        by_bucket = one.type in NUMBERS or one.type in TEMPORAL
        distance = jensen_shannon(one, other) if by_bucket else infinity_norm(one, other)
        if distance is not None and distance >= _APART:
            found.append(Drift(name, "jensen_shannon" if by_bucket else "infinity_norm", distance))
    return sorted(found, key=lambda drift: (-drift.distance, drift.feature))


def _few(said: Sequence[str]) -> str:
    more = f" and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    return printable(", ".join(said[:_SHOWN])) + more


def _value(said: object) -> str:
    return "none" if said is None else said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
