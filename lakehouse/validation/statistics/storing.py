"""Statistics as one Parquet file: the values and sketches as rows, the figures as JSON in its metadata.

Who wants the figures alone reads the JSON; the rows are read when a count, a quantile or a sum is asked for. The same
statistics give the same bytes with the same version of polars.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property, partial
from io import BytesIO
from typing import Any, cast

import polars as pl

from lakehouse.errors import FormatError
from lakehouse.schema import FeatureType, Rule
from lakehouse.validation.statistics import buckets
from lakehouse.validation.statistics.feature import Evidence, FeatureStatistics
from lakehouse.validation.statistics.figures import Broken, Distinct, Gap, Histogram, Moments, Numbers

__all__ = ["FORM", "pack", "told", "unpack", "untold"]

FORM = 1
"""The form of the file; one of a higher number was written by a newer lakehouse."""

_KEY = "lakehouse.statistics"
_ROWS: dict[str, pl.DataType] = {
    "slice": pl.String(),
    "feature": pl.String(),
    "part": pl.String(),
    "text": pl.String(),
    "count": pl.UInt64(),
    "rest": pl.String(),
    "square": pl.String(),
    "weight": pl.Float64(),
    "weight_rest": pl.Float64(),
    "weight_square": pl.Float64(),
    "bytes": pl.Binary(),
}
"""One row a value, bucket or day, and one for a feature's registers. ``slice`` is "" for all rows; ``part`` tells
which it is; ``text`` is the value, the bucket's number or the day, moments as whole numbers since 1970-01-01."""


def pack(statistics: Mapping[str, Any], features: Mapping[str, Mapping[str, FeatureStatistics]]) -> bytes:
    """The file's bytes.

    Args:
        statistics: figures of the whole, as JSON has them.
        features: slice ("" for all rows) to path to feature.
    """
    held = [
        _rows(one.held, one.dtype).select(
            pl.lit(part).alias("slice"), pl.lit(path).alias("feature"), pl.exclude("slice", "feature")
        )
        for part, own in features.items()
        for path, one in own.items()
    ]
    rows = pl.concat(held) if held else pl.DataFrame(schema=_ROWS)
    figures = {part: [_figures(one) for one in own.values()] for part, own in features.items()}
    said = {"form": FORM, **statistics, "features": figures}
    file = BytesIO()
    rows.write_parquet(
        file,
        compression="zstd",
        compression_level=3,
        statistics=False,
        metadata={_KEY: json.dumps(said, ensure_ascii=False, separators=(",", ":"))},
    )
    return file.getvalue()


def unpack(data: bytes, name: str) -> tuple[dict[str, Any], dict[str, dict[str, FeatureStatistics]]]:
    """What `pack` was given.

    Args:
        data: the file's bytes.
        name: what to call it in an error.

    Raises:
        FormatError: it is no such file, or of a newer form.
    """
    try:
        text = pl.read_parquet_metadata(BytesIO(data)).get(_KEY)
    except pl.exceptions.PolarsError as error:
        raise FormatError(f"{name}: not a Parquet file: {str(error).splitlines()[0]}") from error
    if text is None:
        raise FormatError(f"{name}: a Parquet file, but none that `Statistics.write` made")
    said = json.loads(text)
    if said["form"] > FORM:
        raise FormatError(
            f"{name}: statistics of form {said['form']}; this lakehouse reads up to {FORM}. Install a newer one"
        )
    table = _Table(data)
    features = {
        part: {one["path"]: _feature(one, partial(table.evidence, part, one)) for one in own}
        for part, own in said["features"].items()
    }
    return said, features


class _Table:
    """The rows of a file, read when first asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @cached_property
    def _parts(self) -> dict[tuple[Any, ...], pl.DataFrame]:
        rows = pl.read_parquet(BytesIO(self._data), glob=False)
        return rows.partition_by("slice", "feature", "part", as_dict=True, include_key=False)

    def evidence(self, part: str, said: Mapping[str, Any]) -> Evidence:
        dtype = _dtype(said["dtype"])
        weights = ["weight"] if said["weights"] is not None else []
        values = self._parts.get((part, said["path"], "value"))
        counts = (
            pl.DataFrame(schema={"value": dtype, "count": pl.UInt64(), **dict.fromkeys(weights, pl.Float64())})
            if values is None
            else values.select(_of_text(pl.col("text"), dtype).alias("value"), "count", *weights)
        )
        kept = self._parts.get((part, said["path"], "registers"))
        return Evidence(
            counts,
            None if kept is None else bytes(kept["bytes"].item()),
            self._buckets(part, said) if said["sketch"] in ("buckets", "both") else None,
            self._days(part, said) if said["sketch"] in ("days", "both") else None,
            said["hashing"],
        )

    def _buckets(self, part: str, said: Mapping[str, Any]) -> pl.DataFrame:
        by_weight = ["weight", "weight_rest", "weight_square"] if said["weights"] is not None else []
        schema = {**buckets.SCHEMA, **dict.fromkeys(by_weight, pl.Float64())}
        found = self._parts.get((part, said["path"], "bucket"))
        if found is None:
            return pl.DataFrame(schema=schema)
        return found.select(
            pl.col("text").cast(pl.Int32).alias("bucket"),
            "count",
            pl.col("rest", "square").cast(pl.Int128),
            *by_weight,
        )

    def _days(self, part: str, said: Mapping[str, Any]) -> pl.DataFrame:
        found = self._parts.get((part, said["path"], "day"))
        if found is None:
            return pl.DataFrame(schema={"day": pl.Date(), "count": pl.UInt64()})
        return found.select(pl.col("text").cast(pl.Int32).cast(pl.Date).alias("day"), "count")


def _rows(held: Evidence, dtype: pl.DataType) -> pl.DataFrame:
    """What is kept of a feature, as rows of the file, but for its name."""
    parts = [
        held.counts.select(
            pl.lit("value").alias("part"), _to_text(pl.col("value"), dtype).alias("text"), pl.exclude("value")
        )
    ]
    if held.buckets is not None:
        text = pl.col("rest", "square", "bucket").cast(pl.String)
        parts.append(held.buckets.with_columns(text, part=pl.lit("bucket")).rename({"bucket": "text"}))
    if held.days is not None:
        day = pl.col("day").cast(pl.Int32).cast(pl.String).alias("text")
        parts.append(held.days.select(pl.lit("day").alias("part"), day, "count"))
    if held.registers is not None:
        parts.append(pl.DataFrame({"part": ["registers"], "bytes": [held.registers]}))
    found = pl.concat(parts, how="diagonal")
    lacking = [pl.lit(None, dtype).alias(name) for name, dtype in _ROWS.items() if name not in found.columns]
    return found.with_columns(lacking).select(list(_ROWS))


def _to_text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Values as text that loses nothing: moments as whole numbers, bytes as hexadecimal digits."""
    if dtype.is_temporal():
        value = value.to_physical()
    return value.bin.encode("hex") if dtype == pl.Binary else value.cast(pl.String)


def _of_text(text: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    match dtype:
        case pl.Binary():
            return text.str.decode("hex")
        case pl.Boolean():
            return text == "true"
        case pl.Date():
            return text.cast(pl.Int32).cast(dtype)
        case pl.Datetime():
            return text.cast(pl.Int64).cast(dtype)
        case _:
            return text.cast(dtype)


def _figures(one: FeatureStatistics) -> dict[str, Any]:
    """A feature's figures as JSON has them."""
    held, numbers, moments = one.held, one.numbers, one.moments
    kinds = ["buckets"] * (held.buckets is not None) + ["days"] * (held.days is not None)
    return {
        "path": one.path,
        "type": None if one.type is None else one.type.value,
        "dtype": _dtype_name(one.dtype),
        "repeated": one.repeated,
        "personal": one.personal,
        "rows": one.rows,
        "count": one.count,
        "values": one.values,
        "complete": one.complete,
        "valencies": list(one.valencies.items()),
        "low": _scalar(one.low),
        "high": _scalar(one.high),
        "zeros": one.zeros,
        "sizes": one.sizes,
        "unlisted": one.unlisted,
        "undercount": one.undercount,
        "span": one.span,
        "equal_width": None if one.equal_width is None else [one.equal_width.edges, one.equal_width.counts],
        "weights": one.weights,
        "sketch": kinds[0] if kinds else None,
        "hashing": held.hashing,
        "distinct": [one.distinct.count, one.distinct.exact, one.distinct.error],
        "numbers": None
        if numbers is None
        else [numbers.mean, numbers.std, numbers.median, numbers.nan, numbers.infinite, numbers.count, numbers.error],
        "moments": None
        if moments is None
        else [
            moments.days,
            None
            if moments.gap is None
            else [moments.gap.after.isoformat(), moments.gap.before.isoformat(), moments.gap.days],
        ],
    }


def _feature(said: Mapping[str, Any], evidence: Callable[[], Evidence]) -> FeatureStatistics:
    dtype = _dtype(said["dtype"])
    low, high = (_value(said[end], dtype) for end in ("low", "high"))
    widths = said["equal_width"]
    made = FeatureStatistics(
        path=said["path"],
        type=None if said["type"] is None else FeatureType(said["type"]),
        repeated=said["repeated"],
        personal=said["personal"],
        rows=said["rows"],
        count=said["count"],
        values=said["values"],
        complete=said["complete"],
        dtype=dtype,
        evidence=evidence,
        valencies=dict(said["valencies"]),
        low=low,
        high=high,
        zeros=said["zeros"],
        sizes=_pair(said["sizes"]),
        unlisted=said["unlisted"],
        undercount=said["undercount"],
        span=_pair(said["span"]),
        equal_width=None if widths is None else Histogram(tuple(widths[0]), tuple(widths[1])),
        weights=_pair(said["weights"]),
    )
    # What is asked for most is there without the rows.
    known: dict[str, Any] = {"distinct": Distinct(*said["distinct"]), "numbers": None, "moments": None}
    if said["numbers"] is not None:
        mean, std, median, nan, infinite, count, error = said["numbers"]
        known["numbers"] = Numbers(low, high, mean, std, median, made.zeros, nan, infinite, count, error)
    if said["moments"] is not None:
        days, gap = said["moments"]
        found = None if gap is None else Gap(date.fromisoformat(gap[0]), date.fromisoformat(gap[1]), gap[2])
        known["moments"] = Moments(low, high, days, found)
    made.__dict__.update(known)
    return made


def _pair(said: list[Any] | None) -> Any:
    return None if said is None else tuple(said)


def _scalar(value: Any) -> str | None:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return None if value is None else str(value)


def _value(text: str | None, dtype: pl.DataType) -> Any:
    if text is None:
        return None
    if dtype.is_integer():
        return int(text)
    if dtype.is_float():
        return float(text)
    if isinstance(dtype, pl.Decimal):
        return Decimal(text)
    return date.fromisoformat(text) if dtype == pl.Date else datetime.fromisoformat(text)


def _dtype_name(dtype: pl.DataType) -> list[Any]:
    match dtype:
        case pl.Decimal():
            return ["Decimal", dtype.precision, dtype.scale]
        case pl.Datetime():
            return ["Datetime", dtype.time_unit, dtype.time_zone]
        case pl.Struct():
            return ["String"]  # its values are not kept
        case _:
            return [str(dtype)]


def _dtype(said: list[Any]) -> pl.DataType:
    name, *parts = said
    return cast("pl.DataType", getattr(pl, name)(*parts))


def told(broken: Iterator[Broken] | tuple[Broken, ...]) -> list[list[Any]]:
    """Broken rules as JSON has them."""
    return [[one.path, one.rule.value, one.reason, one.rows, one.examples] for one in broken]


def untold(said: list[list[Any]]) -> tuple[Broken, ...]:
    """What `told` was given."""
    return tuple(
        Broken(path, Rule(rule), reason, rows, tuple((text, many) for text, many in examples))
        for path, rule, reason, rows, examples in said
    )
