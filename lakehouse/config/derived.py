"""Datasets that are made from others: what their files must say, and in which order datasets are refreshed."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import polars as pl

from lakehouse import queries
from lakehouse.config.dotted import curate_function
from lakehouse.config.models import Config, Dataset
from lakehouse.config.problems import Path
from lakehouse.config.snapshot_time import LANDED
from lakehouse.errors import ConfigError, nearest

__all__ = ["cycles", "derivation", "derived_problems", "downstream", "in_order", "input_problems"]

_OF_FILES = ("source", "sources", "format", "rename", "derive", "codes", "delete_when", "on_changed_file")
"""Keys of a dataset that say how raw files become rows."""


def derived_problems(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    """What is wrong with a derived dataset by itself."""
    yield from _making(dataset)
    yield from _out_of_place(dataset)
    if dataset.columns and dataset.sql is not None:
        yield ("columns",), "says what a function makes its columns from; of a query that is known"
    for name, inputs in dataset.columns.items():
        if name not in dataset.schema.features:
            yield ("columns", name), f"'{name}' is not a feature.{nearest(name, dataset.schema.features)}"
        for index, read in enumerate(inputs):
            if read.partition(".")[0] not in dataset.inputs or "." not in read:
                first = next(iter(dataset.inputs), "subject/dataset")
                yield ("columns", name, index), f"'{read}' is no input's column; write it so: {first}.column"


def _making(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    """What it is made from, and how."""
    if not dataset.inputs:
        yield ("inputs",), "is required beside sql; name the datasets that the query reads: inputs: [subject/dataset]"
    for index, name in enumerate(dataset.inputs):
        if name in dataset.inputs[:index]:
            yield ("inputs", index), f"'{name}' stands here twice"
    if dataset.sql is None and dataset.curate is None:
        yield ("inputs",), "say what is made of them: sql: a query, or curate: a function of one LazyFrame an input"
    if dataset.sql is not None and dataset.curate is not None:
        yield ("curate",), "sql and curate are both set; keep one of them"


def _out_of_place(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    """Keys that make sense for datasets that are curated from raw files alone."""
    for key in _OF_FILES:
        if getattr(dataset, key):
            yield (key,), "is of datasets that are curated from raw files; this one is made from `inputs`; take it out"
    if dataset.history != "snapshots":
        text = f"is {dataset.history}, and what is derived is a whole picture each time: a snapshot; leave it out"
        yield ("history",), text
    if dataset.snapshot_time != LANDED:
        yield ("snapshot_time",), "is of files; a derived dataset is true from the moment it is derived; take it out"
    if dataset.new_columns == "add":
        yield ("new_columns",), "a derived dataset has the features that its schema names; add them there"
    for name, feature in dataset.schema.features.items():
        if feature.computed:
            yield ("schema", "features", name, "computed"), "everything in a derived dataset is; take it out"


def input_problems(
    dataset: Dataset, datasets: Mapping[str, Dataset], named: Collection[str]
) -> Iterator[tuple[Path, str]]:
    """What is wrong between a derived dataset and its inputs.

    Args:
        dataset: the dataset; of one that is not derived nothing is.
        datasets: those that could be read.
        named: all that have a file.
    """
    for index, name in enumerate(dataset.inputs):
        if name not in named:
            yield ("inputs", index), f"there is no dataset '{name}'.{nearest(name, named)}"
    for name, inputs in dataset.columns.items() if dataset.derived else ():
        for index, read in enumerate(inputs):
            one, _, column = read.partition(".")
            if one in dataset.inputs and one in datasets and column not in datasets[one].schema.features:
                hint = nearest(column, datasets[one].schema.features)
                yield ("columns", name, index), f"'{column}' is not a feature of '{one}'.{hint}"
    if dataset.sql is not None and all(name in datasets for name in dataset.inputs):
        yield from _query(dataset, dataset.sql, datasets)


def _query(dataset: Dataset, sql: str, datasets: Mapping[str, Dataset]) -> Iterator[tuple[Path, str]]:
    """What is wrong with a query, over its inputs as their schemas say they are."""
    unread = set(dataset.inputs)

    def table(name: str) -> pl.Schema:
        found = _input(dataset, name, datasets)
        unread.discard(found)
        return pl.Schema(datasets[found].schema.dtypes)

    try:
        made = queries.planned(sql, table)
    except ConfigError as error:
        yield ("sql",), str(error).removeprefix("SQL: ")
        return
    for name in sorted(unread):
        yield ("inputs", dataset.inputs.index(name)), f"the query does not read {queries.table_of(name)}; take it out"
    for name, feature in dataset.schema.features.items():
        if name not in made and feature.required:
            yield ("schema", "features", name), f"the query gives no column '{name}'.{nearest(name, made)}"


def cycles(datasets: Mapping[str, Dataset]) -> Iterator[tuple[str, Path, str]]:
    """Datasets that are made from themselves, by whatever way: which, key and what is wrong; a cycle is told once."""
    done: set[str] = set()
    for start in datasets:
        yield from _walk(start, datasets, [], done)


def _walk(
    name: str, datasets: Mapping[str, Dataset], path: list[str], done: set[str]
) -> Iterator[tuple[str, Path, str]]:
    if name in path:
        around = " <- ".join([*path[path.index(name) :], name])
        key = ("inputs",) if datasets[name].inputs else ("codes",)
        yield name, key, f"is made from itself: {around}; a dataset cannot be refreshed before its inputs are"
    elif name in datasets and name not in done:
        for one in datasets[name].upstream:
            if one != name or one in datasets[name].inputs:  # that codes lie in itself is told as such
                yield from _walk(one, datasets, [*path, name], done)
        done.add(name)


def derivation(dataset: Dataset, project: pathlib.Path) -> Callable[..., pl.LazyFrame]:
    """What makes a derived dataset: a function of one LazyFrame an input, in their order.

    Raises:
        ConfigError: its function cannot be loaded; the query, when it is called, does not fit its inputs.
    """
    function = curate_function(dataset, project)
    if dataset.sql is None:
        assert function is not None  # noqa: S101  # one of the two is there, or the configuration is refused
        return function
    sql = dataset.sql

    def query(*frames: pl.LazyFrame) -> pl.LazyFrame:
        given = dict(zip(dataset.inputs, frames, strict=True))
        named: dict[str, pl.LazyFrame] = {}

        def table(name: str) -> pl.Schema:
            named[name] = given[_input(dataset, name)]
            return named[name].collect_schema()

        queries.planned(sql, table)
        return queries.run(sql, named)

    return query


def _input(dataset: Dataset, table: str, known: Collection[str] = ()) -> str:
    """The input that a query means by a table's name.

    Raises:
        ConfigError: none of them.
    """
    found = queries.dataset_of(table, dataset.inputs)
    if found is None:
        there = queries.dataset_of(table, known)
        hint = f" Add '{there}' to inputs." if there else nearest(table.replace(".", "/", 1), dataset.inputs)
        raise ConfigError(f"SQL: reads '{table}', which is none of the inputs.{hint}")
    return found


def in_order(config: Config, names: Iterable[str]) -> tuple[str, ...]:
    """Datasets in the order in which they are refreshed: each after those that it is made from, else as given.

    Raises:
        NotFoundError: one of them is none.
    """
    wanted = list(dict.fromkeys(names))
    found: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in found:
            return
        for one in config.dataset(name).upstream:
            visit(one)
        found[name] = None

    for name in wanted:
        visit(name)
    return tuple(name for name in found if name in wanted)


def downstream(config: Config, names: Iterable[str]) -> tuple[str, ...]:
    """The derived datasets that are made from some, at first or at any later hand; in the order they are refreshed."""
    reached = set(names)
    everything = in_order(config, config.datasets)
    found = []
    for name in everything:
        if not reached.isdisjoint(config.dataset(name).inputs):
            reached.add(name)
            found.append(name)
    return tuple(found)
