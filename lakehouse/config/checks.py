"""What must hold between the parts of one dataset: names that name features, values that fit types."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import cast

import polars as pl

from lakehouse.config.derived import derived_problems
from lakehouse.config.feeds import CodeTable
from lakehouse.config.literals import unfit_values
from lakehouse.config.models import Dataset
from lakehouse.config.problems import Path
from lakehouse.config.snapshot_time import LANDED
from lakehouse.errors import nearest
from lakehouse.schema import Action, FeatureType, Rule, converts

__all__ = ["code_problems", "dataset_problems"]

_ORDERED = (FeatureType.DATE, FeatureType.DATETIME)
_PARTITIONS = (FeatureType.STRING, FeatureType.INT, FeatureType.DATE, FeatureType.BOOL)
_LAST_BITS = 1e-12
_QUERY = re.compile(r"\bselect\b|\bread_\w+\s*\(", re.IGNORECASE)


def dataset_problems(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    """Every contradiction within a dataset: the key path it is about, and what is wrong."""
    yield from _names(dataset)
    yield from _roles(dataset)
    if dataset.derived:
        yield from derived_problems(dataset)
    else:
        yield from _fed(dataset)
        yield from _mapped(dataset)
    yield from _checks(dataset)
    yield from _environments(dataset)
    yield from _needs(dataset)
    yield from _kind(dataset)
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


def _kind(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    """What a load kind needs, and what makes sense for another one alone."""
    kind = dataset.history
    if dataset.keyed and not dataset.keys:
        yield ("keys",), f"history is {kind}, which are of something; name the features that tell what: keys: [...]"
    if kind != "snapshots":
        for key, said in (("snapshot_time", dataset.snapshot_time != LANDED), ("max_deleted", dataset.max_deleted)):
            if said:
                yield (key,), f"is of snapshots, and history is {kind}; take it out, or set history: snapshots"
    if kind != "changes" and dataset.delete_when is not None:
        yield ("delete_when",), f"is of changes, and history is {kind}; take it out, or set history: changes"
    event = dataset.schema.features.get(dataset.event_time or "")
    if kind == "changes" and event is not None:
        inside = dataset.schema.within(dataset.validation.environment).features if _known(dataset) else {}
        path = str(dataset.event_time)
        told = dataset.schema.action_of(Rule.PRESENCE, path) is Action.WARN
        if not event.required or not event.checked or told or (inside and path not in inside):
            why = "a change must say since when it is true"
            yield ("event_time",), f"{why}: '{path}' must be required, and an error where it is missing"


def _known(dataset: Dataset) -> bool:
    """Whether the environment of its rows is one of its schema's."""
    wanted = dataset.validation.environment
    return wanted is None or wanted in dataset.schema.known_environments()


def _deleting(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    """Which rows of a feed are deletes, which a row must say by itself."""
    if dataset.delete_when is not None:
        problem = _expression(
            dataset.delete_when, dataset.schema.dtypes, {}, "a row must say by itself that it deletes", boolean=True
        )
        if problem:
            yield ("delete_when",), problem


def _fed(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    """Where its rows come from, which only one key may say."""
    if dataset.source and dataset.sources:
        yield ("sources",), "source and sources are both set; move the one source below sources"
    if not dataset.source_names:
        yield ("source",), "is required and missing; name the source, or several below sources; or inputs, to derive it"
    if len(dataset.source_names) > 1 and dataset.history == "snapshots":
        yield (
            ("sources",),
            (
                "a snapshot is the full picture, and of several sources none is; curate each into a dataset of its "
                "own, and put those together in a derived dataset"
            ),
        )


def _mapped(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    """What is wrong with how the files of each source become rows."""
    found: dict[tuple[Path, str], list[str]] = {}
    names = tuple(dataset.sources) or ("",)
    for source in names:
        one = dataset.of(source) if source else dataset
        for path, text in (*_renames(one), *_derived(one), *_declared(one), *_coded(one), *_deleting(one)):
            found.setdefault((_where(dataset, source, path), text), []).append(source)
    for (path, text), sources in found.items():
        some = path[0] != "sources" and len(sources) < len(names)
        yield path, f"{text} (as source '{sources[0]}' is mapped)" if some else text


def _where(dataset: Dataset, source: str, path: Path) -> Path:
    """Where the key of a source's mapping stands: what it says itself, or what is said for all."""
    own: object = dataset.sources.get(source)
    for part in path[:2]:
        own = own.get(part) if isinstance(own, Mapping) else getattr(own, str(part), None)
    return path if own is None or own == {} else ("sources", source, *path)


def _coded(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    """The features whose codes are looked up."""
    features = dataset.schema.features
    for name in dataset.codes:
        feature = features.get(name)
        if feature is None:
            yield ("codes", name), f"'{name}' is not a feature.{nearest(name, features)}"
        elif feature.computed:
            yield ("codes", name), f"'{name}' is computed, so no file holds a code for it"
        elif feature.repeated or feature.type is FeatureType.STRUCT:
            yield ("codes", name), f"'{name}' is {feature.kind}; a code stands for a single value"


def code_problems(
    dataset: Dataset, datasets: Mapping[str, Dataset], named: Collection[str]
) -> Iterator[tuple[Path, str]]:
    """What is wrong between a dataset's codes and the datasets that hold them.

    Args:
        dataset: the dataset.
        datasets: those that could be read.
        named: all that have a file.
    """
    feeds: list[tuple[Path, Mapping[str, CodeTable]]] = [(("codes",), dataset.codes)]
    feeds += [(("sources", source, "codes"), feed.codes) for source, feed in dataset.sources.items()]
    for place, codes in feeds:
        for name, table in codes.items():
            here = (*place, name)
            known = datasets.get(table.dataset)
            if table.dataset not in named:
                yield (*here, "dataset"), f"there is no dataset '{table.dataset}'.{nearest(table.dataset, named)}"
            elif table.dataset == dataset.name:
                yield (*here, "dataset"), "is this dataset itself; codes are looked up in another"
            elif known is not None:
                yield from _code_columns(dataset, name, table, known, here)


def _code_columns(
    dataset: Dataset, name: str, table: CodeTable, known: Dataset, here: Path
) -> Iterator[tuple[Path, str]]:
    features = known.schema.features
    for key, column in (("from", table.from_), ("to", table.to)):
        feature = features.get(column)
        if feature is None:
            yield (*here, key), f"'{column}' is not a feature of '{table.dataset}'.{nearest(column, features)}"
        elif feature.repeated or feature.type is FeatureType.STRUCT:
            yield (*here, key), f"'{column}' is {feature.kind}; it must be a single value"
    wanted, given = dataset.schema.features.get(name), features.get(table.to)
    if wanted is not None and given is not None and wanted.dtype != given.dtype:
        yield (*here, "to"), f"'{table.to}' of '{table.dataset}' is {given.kind}, and '{name}' is {wanted.kind}"


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
    converted = {name for name, sql in dataset.derive.items() if converts(name, sql)}
    for name, sql in dataset.derive.items():
        if name not in features:
            yield ("derive", name), f"'{name}' is not a feature; add it to schema.features.{nearest(name, features)}"
        # Conversions are made side by side, of the values in the file; what else is derived sees what they gave.
        others = converted - {name} if name in converted else frozenset[str]()
        before = {feature: dtype for feature, dtype in readable.items() if feature not in others}
        problem = _expression(sql, before, made, "a derived value must come from its own row")
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
        if together.len() != alone.len() or not _alike(together, alone).all():
            return str(part)
    return ""


def _alike(one: pl.Series, other: pl.Series) -> pl.Series:
    """Where values are the same; polars divides one row and several in two ways, which differ in the last bit."""
    same = one.eq_missing(other)
    return (
        same | ((one - other).abs() <= _LAST_BITS * other.abs()).fill_null(value=False)
        if one.dtype.is_float()
        else same
    )


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
