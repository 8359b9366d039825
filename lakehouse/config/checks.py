"""What must hold between the parts of one dataset: names that name features, values that fit types."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import cast

import polars as pl

from lakehouse.config.literals import unfit_values
from lakehouse.config.models import Dataset
from lakehouse.config.problems import Path
from lakehouse.errors import nearest
from lakehouse.schema import FeatureType

__all__ = ["dataset_problems"]

_ORDERED = (FeatureType.DATE, FeatureType.DATETIME)
_PARTITIONS = (FeatureType.STRING, FeatureType.INT, FeatureType.DATE, FeatureType.BOOL)
_QUERY = re.compile(r"\bselect\b|\bread_\w+\s*\(", re.IGNORECASE)


def dataset_problems(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    """Every contradiction within a dataset: the key path it is about, and what is wrong."""
    yield from _names(dataset)
    yield from _roles(dataset)
    yield from _renames(dataset)
    yield from _derived(dataset)
    yield from _declared(dataset)
    yield from _checks(dataset)
    yield from _environments(dataset)
    yield from _needs(dataset)
    for name, feature in dataset.schema.features.items():
        for path, text in unfit_values(name, feature):
            yield ("schema", *path), text


def _names(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    features = dataset.schema.features
    named: list[tuple[Path, str]] = []
    for field in ("keys", "partition_by"):
        values: tuple[str, ...] = getattr(dataset, field)
        named += [((field, index), value) for index, value in enumerate(values)]
        yield from (((field, i), f"'{v}' stands here twice") for i, v in enumerate(values) if v in values[:i])
    if dataset.event_time is not None:
        named.append((("event_time",), dataset.event_time))
    yield from (
        (path, f"'{name}' is not a feature.{nearest(name, features)}") for path, name in named if name not in features
    )


def _roles(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    """Features whose part in the dataset their type does not suit."""
    features = dataset.schema.features
    event = features.get(dataset.event_time or "")
    if event is not None and (event.type not in _ORDERED or event.repeated):
        yield ("event_time",), f"'{dataset.event_time}' is {event.kind}; it must be date or datetime"
    for index, name in enumerate(dataset.keys):
        feature = features.get(name)
        if feature is not None and (feature.repeated or feature.type is FeatureType.STRUCT):
            yield ("keys", index), f"'{name}' is {feature.kind}; a key must be a single value"
    for index, name in enumerate(dataset.partition_by):
        feature = features.get(name)
        if feature is not None and feature.personal:
            yield ("partition_by", index), f"'{name}' is personal; its values would stand in folder names"
        if feature is not None and (feature.type not in _PARTITIONS or feature.repeated):
            yield ("partition_by", index), f"'{name}' is {feature.kind}; it must be string, int, date or bool"
    if len(set(dataset.partition_by)) == len(features):
        yield ("partition_by",), "names every feature; at least one must be left to store"


def _checks(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    dtypes = dataset.schema.dtypes
    for name, check in dataset.schema.checks.items():
        problem = _expression(check.sql, dtypes, {}, "a check must be of its own row", boolean=True)
        if problem:
            yield ("schema", "checks", name), problem


def _environments(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    schema = dataset.schema
    for name, feature in schema.paths().items():
        here: Path = ("schema", *schema.key_path(name))
        for index, one in enumerate(feature.not_in_environment):
            if one not in schema.environments:
                hint = nearest(one, schema.environments) or " Name it below schema.environments."
                yield (
                    (*here, "not_in_environment", index),
                    f"'{one}' is not in schema.environments, so nothing is in it but by in_environment.{hint}",
                )
        for index, one in enumerate(feature.in_environment):
            hint = nearest(one, schema.environments)
            # One that only this feature is in is legal: a label that only one environment has.
            if one not in schema.environments and hint.startswith(" Did"):
                yield (
                    (*here, "in_environment", index),
                    f"'{one}' is not in schema.environments.{hint}",
                )
    wanted, known = dataset.validation.environment, schema.known_environments()
    if wanted is not None and wanted not in known:
        hint = nearest(wanted, known) or " Name it below schema.environments."
        yield ("validation", "environment"), f"there is no environment '{wanted}'.{hint}"
    elif wanted is not None and not schema.within(wanted).features:
        yield ("validation", "environment"), f"no feature is in '{wanted}'"


def _needs(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    """What a schema asks that the dataset does not say enough for."""
    if dataset.schema.keys is not None and not dataset.keys:
        yield ("schema", "keys"), "the dataset names no keys that could be unique; add keys: [...] to it"
    if dataset.schema.freshness is not None and dataset.event_time is None:
        yield ("schema", "freshness"), "is counted from event_time, which the dataset does not name"


def _renames(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    features, taken = dataset.schema.features, dict[str, str]()
    for old, new in dataset.rename.items():
        if new not in features:
            yield ("rename", old), f"'{new}' is not a feature.{nearest(new, features)}"
        elif features[new].computed:
            yield ("rename", old), f"'{new}' is computed, so no column can become it"
        if new in taken:
            yield ("rename", old), f"'{new}' is already what '{taken[new]}' becomes"
        taken[new] = old
    for old in dataset.rename:
        if old in features and old not in taken and not features[old].computed:
            yield ("rename", old), f"'{old}' is a feature too, and would lose its column"


def _derived(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    features = dataset.schema.features
    readable = {name: feature.dtype for name, feature in features.items() if not feature.computed}
    by_function = "which is made by the function, which runs after; make this one there too"
    made = {name: by_function for name in features if name not in readable}
    made |= dict.fromkeys(dataset.derive, "which is derived itself; write that expression out here")
    for name, sql in dataset.derive.items():
        if name not in features:
            yield ("derive", name), f"'{name}' is not a feature; add it to schema.features.{nearest(name, features)}"
        problem = _expression(sql, readable, made, "a derived value must come from its own row")
        if problem:
            yield ("derive", name), problem


def _declared(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    """What the function's columns are said to be made from must be what the function is given."""
    features = dataset.schema.features
    given = [name for name, feature in features.items() if name in dataset.derive or not feature.computed]
    if dataset.columns and dataset.curate is None:
        yield ("columns",), "says what the function of `curate` makes its columns from, and there is no `curate`"
    for name, inputs in dataset.columns.items():
        if name not in features:
            yield ("columns", name), f"'{name}' is not a feature.{nearest(name, features)}"
        for index, read in enumerate(inputs):
            if read not in features:
                yield ("columns", name, index), f"'{read}' is not a feature.{nearest(read, given)}"
            elif read not in given:
                yield ("columns", name, index), f"'{read}' is made by the function itself; name what that is made from"


def _expression(
    sql: str, readable: Mapping[str, pl.DataType], made: Mapping[str, str], own: str, *, boolean: bool = False
) -> str | None:
    """What is wrong with an SQL expression over the features of its own row; None where nothing is.

    Args:
        sql: the expression.
        readable: what it may read.
        made: what it may not read though it is there, and why.
        own: what to say of one that is a value for a whole batch.
        boolean: whether it must be true or false.
    """
    if _QUERY.search(sql):
        return "must be an expression over its own row; queries and functions that read files are not"
    try:
        expression = pl.sql_expr(sql)
        roots = set(expression.meta.root_names())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        return f"not an SQL expression: {_first_line(error)}"
    for root in sorted(roots - readable.keys()):
        why = made.get(root) or f"which is not a feature.{nearest(root, readable)}"
        return f"reads '{root}', {why}"
    frame = pl.DataFrame({name: pl.Series([None, None], dtype=dtype) for name, dtype in readable.items()})
    try:
        result = frame.lazy().select(expression).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        return f"cannot be computed from these types: {_first_line(error)}"
    if result.height == 1 and roots:
        return f"is one value for a whole batch; {own}"
    if part := _across(expression, {root: readable[root] for root in sorted(roots)}):
        return f"{part} looks at other rows too; {own}"
    if boolean and result.dtypes != [pl.Boolean]:
        return f"must be true or false of a row, this gives {', '.join(map(str, result.dtypes))}"
    return "reads no feature, so it says nothing of a row" if boolean and not roots else None


def _across(expression: pl.Expr, dtypes: Mapping[str, pl.DataType]) -> str:
    """The part of an expression that gives a row something else beside others than alone; "" where there is none."""
    if not dtypes:
        return ""
    rows = pl.DataFrame([_sample(name, dtype) for name, dtype in dtypes.items()])
    parts = [expression]
    for part in parts:
        parts += part.meta.pop()
    for part in reversed(parts):
        try:
            together = rows.select(a=part)["a"]
            alone = pl.concat([rows[index : index + 1].select(a=part)["a"] for index in range(rows.height)])
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            continue  # the samples do not suit it
        if together.len() == 1:
            together = together.new_from_index(0, rows.height)
        if together.len() != alone.len() or not together.eq_missing(alone).all():
            return str(part)
    return ""


def _sample(name: str, dtype: pl.DataType) -> pl.Series:
    """A few values of a type, two of them alike."""
    if isinstance(dtype, pl.List):
        inner = _sample(name, cast("pl.DataType", dtype.inner))
        return pl.Series(name, [inner[index : index + 1] for index in range(inner.len())], dtype=dtype)
    if isinstance(dtype, pl.Struct):
        return pl.DataFrame([_sample(one.name, cast("pl.DataType", one.dtype)) for one in dtype.fields]).to_struct(name)
    if dtype == pl.Boolean:
        return pl.Series(name, [True, False, False])
    numbers = pl.Series(name, [1, 2, 2])
    return numbers.cast(pl.String).cast(dtype) if dtype in (pl.String, pl.Binary) else numbers.cast(dtype)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
