"""`generate_statistics`: statistics of a frame, by its schema if it has one, by slice, by weight."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from lakehouse import validation
from lakehouse.errors import NotFoundError, SchemaError, nearest
from lakehouse.streaming import small_pieces
from lakehouse.validation.statistics.collected import Statistics
from lakehouse.validation.statistics.counting import count_leaves
from lakehouse.validation.statistics.figures import Broken
from lakehouse.validation.statistics.leaves import Leaf, leaves

if TYPE_CHECKING:
    from lakehouse.schema import Schema

__all__ = ["generate_statistics"]

_SLICE = "_slice"
_SLICES = 1_000  # values a frame is cut by; each has its own file for a while
_CHEAP = re.compile(r"(DF \[|Parquet SCAN|PROJECT|ESTIMATED|simple π|SELECT|FROM|WITH_COLUMNS|\[|UNION|PLAN|END)")
"""Lines of a plan of which a column can be had without the others, and without doing much."""
_SLOW = re.compile(r"python|map_batches|map_elements|\.over\(|sort")


def generate_statistics(  # noqa: PLR0913  # by name
    frame: pl.LazyFrame | pl.DataFrame,
    *,
    schema: Schema | None = None,
    slices: Sequence[str] = (),
    weight: str | None = None,
    personal: Collection[str] = (),
    rules: bool = True,
    scratch: str | PathLike[str] | None = None,
) -> Statistics:
    """What a frame's rows hold, feature by feature.

    A frame whose columns are all text, read without a schema, is looked at as a CSV file's: each column has the
    narrowest type that all of its values have (int, float, else string), and an empty text is missing. Any other
    frame keeps its types. With a schema, its features have the schema's types; what does not fit is missing, and is
    told in `Statistics.broken`.

    Args:
        frame: the rows. What is slow to read twice (CSV, joins, Python) is written to Parquet once.
        schema: what the rows should be.
        slices: features; for each of their values, the statistics of those rows are in `Statistics.slices`.
        weight: a number column that says how much a row counts: for `FeatureStatistics.weighted`.
        personal: features whose values are not to be kept, beside those the schema calls personal; dotted paths.
        rules: look, row by row, for what breaks the schema's rules. Leave it out where that is known already.
        scratch: a folder for Parquet files that are deleted again; the system's unless told.

    Raises:
        NotFoundError: a slice or weight is no column.
        SchemaError: a weight is missing, negative or no number; a personal feature is to be sliced by; a slice has
            more than 1,000 values; a check of the schema cannot be reckoned on these columns.
    """
    request = _Request(tuple(slices), weight, _personal(schema, personal))
    with tempfile.TemporaryDirectory(dir=scratch, prefix="statistics-") as folder:
        work = _Work(Path(folder), request)
        return work.plain(frame.lazy()) if schema is None else work.by_schema(frame.lazy(), schema, rules=rules)


def _personal(schema: Schema | None, personal: Collection[str]) -> frozenset[str]:
    said = () if schema is None else (path for path, feature in schema.paths().items() if feature.personal)
    return frozenset({*personal, *said})


@dataclass(frozen=True, slots=True)
class _Request:
    """What is wanted beside each feature's own statistics."""

    slices: tuple[str, ...]
    weight: str | None
    personal: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Work:
    """Generating statistics, with a folder for what has to be written down on the way."""

    folder: Path
    request: _Request

    def plain(self, frame: pl.LazyFrame) -> Statistics:
        columns = frame.collect_schema()
        self._check(columns)
        return self._statistics(self._again(frame), columns.names() if _is_text(columns) else ())

    def by_schema(self, frame: pl.LazyFrame, schema: Schema, *, rules: bool) -> Statistics:
        dtypes = dict(frame.collect_schema())
        unknown = [name for name in dtypes if name not in schema.features]
        # What a dataset computes is here already, or is not.
        features = {name: feature.model_copy(update={"computed": False}) for name, feature in schema.features.items()}
        mapping = validation.Mapping(schema.model_copy(update={"features": features}))
        present = [name for name in features if name in dtypes]
        self._check([*present, *unknown])
        ready = all(features[n].dtype == dtypes[n] and features[n].default is None for n in present)
        broken: Sequence[Broken] = ()
        texts = unknown if _is_text(frame.collect_schema()) else []
        if rules or not ready:
            checked = validation.check(frame, dtypes, mapping, private=self.request.personal)
            read = [name if name in features else pl.col(validation.TEXT + name).alias(name) for name in dtypes]
            rows = None if ready else checked.rows.select(read)
            frame, broken = self._held(frame, rows, checked)
        found = self._statistics(self._again(frame), texts)
        absent = tuple(name for name in features if name not in dtypes)
        return replace(found, broken=tuple(broken), absent=absent, unknown=tuple(unknown), judged=rules)

    def _held(
        self, frame: pl.LazyFrame, rows: pl.LazyFrame | None, checked: validation.Checked
    ) -> tuple[pl.LazyFrame, Sequence[Broken]]:
        """The typed rows and what is broken in them, in one pass over the frame."""
        typed, broken = self.folder / "typed.parquet", self.folder / "broken.parquet"
        sinks = [checked.broken.sink_parquet(broken, statistics=False, lazy=True)]
        if rows is not None:
            sinks.append(rows.sink_parquet(typed, compression="lz4", statistics=False, lazy=True))
        with small_pieces():
            pl.collect_all(sinks, engine="streaming")
        found = validation.count_broken([broken], checked.rules)
        broken.unlink()
        return frame if rows is None else pl.scan_parquet(typed, glob=False), found

    def _again(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """The frame, cheap to read again and again: itself, or out of a Parquet file written once."""
        plan = [line.strip() for line in frame.explain(optimized=False).splitlines() if line.strip()]
        if all(_CHEAP.match(line) and not _SLOW.search(line) for line in plan):
            return frame
        file = self.folder / "rows.parquet"
        with small_pieces():
            frame.sink_parquet(file, compression="lz4", statistics=False)
        return pl.scan_parquet(file, glob=False)

    def _check(self, columns: Iterable[str]) -> None:
        """That what is asked for is there, and may be shown."""
        known = list(columns)
        for name in (*self.request.slices, *([self.request.weight] if self.request.weight is not None else [])):
            if name not in known:
                raise NotFoundError(f"there is no column '{name}'.{nearest(name, known)}")
        for name in self.request.slices:
            if name in self.request.personal:
                raise SchemaError(f"'{name}' is personal: slices by it would show its values; slice by another feature")

    def _statistics(self, frame: pl.LazyFrame, texts: Collection[str]) -> Statistics:
        columns = frame.collect_schema()
        found = leaves(columns, weight=self.request.weight, personal=self.request.personal, texts=texts)
        weight = self._weight(frame)
        rows = int(frame.select(pl.len()).collect(engine="streaming").item()) if columns else 0
        features = count_leaves(frame, found, rows)
        settled = [leaf.settled(features[leaf.path].type) for leaf in found]
        slices = {name: part for column in self.request.slices for name, part in self._slices(frame, column, settled)}
        return Statistics(rows, features, weight, slices)

    def _weight(self, frame: pl.LazyFrame) -> float | None:
        """The sum of the weights.

        Raises:
            SchemaError: one of them is none.
        """
        if self.request.weight is None:
            return None
        weight = pl.col(self.request.weight).cast(pl.Float64, strict=False)
        bad = weight.is_null() | ~weight.is_finite() | (weight < 0)
        try:
            wrong, total = frame.select(bad.sum(), weight.sum().alias("total")).collect(engine="streaming").row(0)
        except pl.exceptions.PolarsError as error:
            raise SchemaError(f"weight '{self.request.weight}': not a number: {str(error).splitlines()[0]}") from error
        if wrong:
            raise SchemaError(
                f"weight '{self.request.weight}': {wrong:,} rows have none, or one below 0; a weight is a finite "
                "number of 0 or more, in every row"
            )
        return float(total)

    def _slices(self, frame: pl.LazyFrame, column: str, found: Sequence[Leaf]) -> Iterator[tuple[str, Statistics]]:
        """The statistics of the rows with each value of a column, in the order of the values."""
        dtype = frame.collect_schema()[column]
        if dtype.is_nested():
            raise SchemaError(f"'{column}' is a {dtype}, which has no single value to slice by")
        value = pl.col(column)
        values = frame.select(value).unique().drop_nulls().sort(column).head(_SLICES + 1).collect(engine="streaming")
        if values.height > _SLICES:
            raise SchemaError(f"'{column}' has more than {_SLICES:,} values; slice by a feature with fewer")
        names = values.select(value.cast(pl.String)).to_series().to_list()
        numbers = values.select(value, pl.int_range(pl.len()).alias(_SLICE))
        rows = frame.join(numbers.lazy(), on=column, how="inner", maintain_order="none")
        folder = self.folder / "slices"
        rows.sink_parquet(pl.PartitionBy(folder, key=_SLICE, include_key=False), mkdir=True, compression="lz4")
        for number, name in enumerate(names):
            part = pl.scan_parquet(f"{folder}/{_SLICE}={number}/*.parquet", glob=True, hive_partitioning=False)
            many = int(part.select(pl.len()).collect(engine="streaming").item())
            yield f"{column}={name}", Statistics(many, count_leaves(part, found, many), self._weight(part))
        shutil.rmtree(folder)


def _is_text(columns: pl.Schema) -> bool:
    return bool(columns) and all(dtype in (pl.String, pl.List(pl.String)) for dtype in columns.values())
