"""The statistics of a batch of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from lakehouse import validation
from lakehouse.schema import FeatureType
from lakehouse.validation.statistics.adding import add_features, lacking
from lakehouse.validation.statistics.feature import FeatureStatistics
from lakehouse.validation.statistics.figures import Broken
from lakehouse.validation.statistics.storing import pack, told, unpack, untold

__all__ = ["Statistics"]


@dataclass(frozen=True, eq=False)
class Statistics:
    """What a batch of rows holds, feature by feature; those of two batches add up: ``a + b``.

    Attributes:
        rows: how many.
        features: dotted path to its statistics, in the order of the columns.
        weight: sum of the rows' weights; None when they have none.
        slices: ``origin=EWR`` to the statistics of those rows alone.
        broken: rows that break a rule of the schema; () without one.
        absent: features of the schema whose column was not there.
        unknown: columns that no feature of the schema knows.
        judged: the rows were held against a schema's rules, so that nothing in ``broken`` means that none broke.
    """

    rows: int
    features: Mapping[str, FeatureStatistics]
    weight: float | None = None
    slices: Mapping[str, Statistics] = field(default_factory=dict)
    broken: tuple[Broken, ...] = ()
    absent: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    judged: bool = False

    def __add__(self, other: Statistics) -> Statistics:
        """The statistics of both batches' rows, as if all had been read together.

        What was counted, summed or put in registers and buckets adds up exactly. The most frequent values of a
        feature that is not complete may be off by `FeatureStatistics.undercount`.

        Raises:
            SchemaError: a feature is of types whose values cannot be told in one.
        """
        if not (self.rows or self.features):
            return other
        if not (other.rows or other.features):
            return self
        features = {}
        for path in dict.fromkeys((*self.features, *other.features)):
            one = self.features.get(path) or lacking(other.features[path], self.rows, self.features)
            two = other.features.get(path) or lacking(self.features[path], other.rows, other.features)
            features[path] = add_features(one, two)
        return Statistics(
            self.rows + other.rows,
            features,
            None if self.weight is None or other.weight is None else self.weight + other.weight,
            {
                name: self.slices[name] + other.slices[name]
                if name in self.slices and name in other.slices
                else self.slices.get(name) or other.slices[name]
                for name in dict.fromkeys((*self.slices, *other.slices))
            },
            tuple(validation.sum_broken((*self.broken, *other.broken))),
            tuple(name for name in self.absent if name in other.absent),
            tuple(dict.fromkeys((*self.unknown, *other.unknown))),
            self.judged and other.judged,
        )

    def rows_of(self, path: str) -> int:
        """How many rows could have a feature's value: of what lies in a struct, those that have the struct."""
        seen, above = self.features[path], self.features.get(path.rpartition(".")[0])
        if above is None or above.type is not FeatureType.STRUCT or above.repeated:
            return seen.rows
        return above.count

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Statistics) and self._bytes == other._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __str__(self) -> str:
        lines = [f"{self.rows:,} row{'' if self.rows == 1 else 's'}, {len(self.features):,} features"]
        wide = max((len(path) for path in self.features), default=0)
        for path, one in self.features.items():
            kind = "unknown" if one.type is None else f"list[{one.type.value}]" if one.repeated else one.type.value
            about = "" if one.distinct.exact else "about "
            values = f"{about}{one.distinct.count:,} distinct" if kind != "struct" else ""
            missing = f"{one.missing:,} missing" if one.missing else ""
            lines.append("  ".join(word for word in (f"{path:{wide}}", f"{kind:8}", values, missing) if word))
        return "\n".join(lines)

    @cached_property
    def _bytes(self) -> bytes:
        parts = {"": self.features, **{name: part.features for name, part in self.slices.items()}}
        return pack(
            {"whole": _plain(self), "slices": {name: _plain(part) for name, part in self.slices.items()}}, parts
        )

    def to_bytes(self) -> bytes:
        """A Parquet file, the same bytes for the same statistics and version of polars.

        Its rows are the values with their counts, and the sketches; its metadata holds the figures as JSON.
        """
        return self._bytes

    def write(self, path: str | PathLike[str]) -> None:
        """Write `to_bytes` to a file."""
        Path(path).write_bytes(self._bytes)

    @classmethod
    def read(cls, file: str | PathLike[str] | bytes) -> Statistics:
        """What `to_bytes` wrote; counts and sketches are decoded when they are asked for.

        Args:
            file: its path, or its bytes.

        Raises:
            FormatError: it is no such file, or of a newer lakehouse.
        """
        data, name = (file, "statistics") if isinstance(file, bytes) else (Path(file).read_bytes(), str(file))
        said, features = unpack(data, name)
        slices = {part: cls(features=features[part], **_told(own)) for part, own in said["slices"].items()}
        return cls(features=features[""], slices=slices, **_told(said["whole"]))


def _plain(statistics: Statistics) -> dict[str, Any]:
    return {
        "rows": statistics.rows,
        "weight": statistics.weight,
        "broken": told(statistics.broken),
        "absent": statistics.absent,
        "unknown": statistics.unknown,
        "judged": statistics.judged,
    }


def _told(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "rows": said["rows"],
        "weight": said["weight"],
        "broken": untold(said["broken"]),
        "absent": tuple(said["absent"]),
        "unknown": tuple(said["unknown"]),
        "judged": said["judged"],
    }
