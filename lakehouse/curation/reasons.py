"""What a person is told of a batch's rejected rows: how many, why most often, and what could be changed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from lakehouse.records import printable
from lakehouse.validation import Mapping
from lakehouse.validation.parsing import NO_CODE

__all__ = ["commonest", "proposal"]

_NOT_OF_ITS_TYPE = re.compile(r"(?P<feature>[^:]+): not an? (?P<type>int|float|decimal|bool|date|datetime)\b")
_TOLD = rf"(?s)^(?P<feature>.*?): '.*' is (?P<reason>{NO_CODE} .*)$"
_MOSTLY = 0.9  # the share of a reason's rows that placeholders must make up
_PLACEHOLDER = re.compile(
    r"[^\w\s]{1,3}|#?n/?[ad]|n\.[ad]\.?|none|null|nil|nan|nat|unk|unknown|missing|empty|blank|tb[ad]"
    r"|not (known|available)",
    re.IGNORECASE,
)
_REPEATED, _SHORT = 3, 12  # what else may be a placeholder: one word without a digit, so often, so short


def commonest(rejected: Sequence[Path], most: int) -> list[tuple[str, int]]:
    """The most frequent reasons in Parquet files of rejected rows, with their counts; no row's own values."""
    told = pl.col("reasons").explode().str.replace(_TOLD, "${feature}: ${reason}")
    reasons = pl.scan_parquet([*rejected], glob=False).select(told)
    top = reasons.group_by("reasons").len().sort("len", "reasons", descending=[True, False]).head(most)
    return list(top.collect(engine="streaming").iter_rows())


def proposal(reason: str, rejected: Sequence[Path], mappings: Sequence[Mapping]) -> str:
    """The change of the schema that would take the rows of a reason in; "" where none is plain.

    Where several sources call the feature's column differently, none is.

    Where a number or date is mostly one or two placeholders like ``n/a``, those are null values. Else only
    the widest values decide: an int whose every rejected text is a number becomes a float.
    """
    found = _NOT_OF_ITS_TYPE.match(reason)
    columns = {mapping.columns().get(found["feature"]) for mapping in mappings} if found else set()
    column = columns.pop() if len(columns) == 1 else None
    if found is None or column is None:
        return ""
    key = f"schema.features.{found['feature']}"
    text = pl.col("fields").str.json_decode(pl.Struct({column: pl.String})).struct.field(column).alias("text")
    rows = pl.scan_parquet([*rejected], glob=False).filter(pl.col("reasons").list.contains(reason)).select(text)
    nulls = () if found["type"] == "bool" else _placeholders(rows)
    if nulls:
        own = mappings[0].schema.features[found["feature"]].null_values
        known = dict.fromkeys(n for m in mappings for n in m.null_values) if own is None else own
        words = " and ".join(f"'{printable(word)}'" for word in nulls)
        # JSON is YAML that stays text, whatever the words are.
        listed = printable(json.dumps([*known, *nulls], ensure_ascii=False))
        verb = "means" if len(nulls) == 1 else "mean"
        return f"if {words} {verb} that the value is missing, set {key}.null_values to {listed}"
    numbers = rows.select(pl.col("text").cast(pl.Float64, strict=False).is_not_null().all())
    wider = "float" if found["type"] == "int" and numbers.collect(engine="streaming").item() else "string"
    return f"if such values are right, set {key}.type to {wider}"


def _placeholders(rows: pl.LazyFrame) -> tuple[str, ...]:
    """The one or two texts that seem to stand for a missing value and are nearly all there is; else ()."""
    counted = rows.group_by("text").agg(pl.len().alias("rows")).sort("rows", "text", descending=[True, False])
    first, total = pl.collect_all([counted.head(2), rows.select(pl.len())], engine="streaming")
    texts = {text: count for text, count in first.iter_rows() if text is not None}
    known = [text for text in texts if _PLACEHOLDER.fullmatch(text)]
    if not known:
        known = [
            text
            for text, count in texts.items()
            if count >= _REPEATED and len(text) <= _SHORT and not re.search(r"[\d\s]", text)
        ][:1]
    return tuple(known) if sum(texts[text] for text in known) >= _MOSTLY * total.item() > 0 else ()
