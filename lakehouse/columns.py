"""Which columns each column of a dataset is made from, worked out from how its rows are mapped. Pure.

Renames and derive expressions say it themselves. A dataset's own function may be declared; else polars is asked
which columns it would read to make each of the function's columns. Where even that cannot be known (the function
collects its frame, or hands it to Python whole), the honest answer is every column.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import polars as pl
from polars.io.plugins import register_io_source

from lakehouse.schema import PROVENANCE, Schema, converts

__all__ = [
    "ALL",
    "SAFE",
    "Column",
    "Function",
    "find",
    "from_json",
    "of_inputs",
    "of_mapping",
    "personal",
    "reads",
    "stepwise",
    "to_json",
]

ALL = "*"
"""Stands for every column of the raw file: what a column is made from is not known."""

_OTHERS = (pl.String(), pl.Int64(), pl.Float64(), pl.Boolean(), pl.Date(), pl.Datetime("us", "UTC"), pl.Binary())
"""What columns of a raw file that are no feature may hold."""

SAFE = pl.QueryOptFlags(cluster_with_columns=False)
"""How a query with a function of a dataset's is run. Polars 2.1 merges layers of columns wrongly: where an expression
stays in its layer and another that overwrites its input is moved below, it reads what was written (no error)."""

Function: TypeAlias = Callable[[pl.LazyFrame], pl.LazyFrame]


@dataclass(frozen=True, slots=True)
class Column:
    """How one column is made.

    Attributes:
        how: ``identity`` (typed, its name kept), ``rename``, ``expression`` or ``function``.
        inputs: the columns of the raw file it is made from, or of datasets (``aviation/flights.dep_delay``);
            ``("*",)`` for perhaps all of them.
        reads: the features that an expression or function reads.
        by: the SQL, the function's dotted path, ``codes reference/sexes@3`` where codes are looked up, or ``default 0``
            where missing values are replaced.
        own: the column of the raw file it was read from before an expression or function changed it, else "".
    """

    how: Literal["identity", "rename", "expression", "function"]
    inputs: tuple[str, ...]
    reads: tuple[str, ...] = ()
    by: str = ""
    own: str = ""

    @property
    def certain(self) -> bool:
        """Whether its inputs are known; else it is perhaps made from every column."""
        return self.inputs != (ALL,)

    @property
    def raw(self) -> str:
        """The column of the raw file whose value it holds, changed or not; "" where it is computed."""
        return self.inputs[0] if self.how in ("identity", "rename") else self.own

    def reads_from(self, column: str) -> bool:
        """Whether it is made from a column of the raw file, or perhaps is."""
        return column in self.inputs or not self.certain


def of_mapping(  # noqa: PLR0913  # the parts of a mapping, by name
    schema: Schema,
    *,
    rename: Mapping[str, str] | None = None,
    derive: Mapping[str, str] | None = None,
    codes: Mapping[str, str] | None = None,
    function: Function | None = None,
    name: str = "",
    declared: Mapping[str, Iterable[str]] | None = None,
    others: bool = False,
) -> dict[str, Column]:
    """What each feature is made from.

    Args:
        schema: the features.
        rename: the raw column to the feature it becomes.
        derive: feature to SQL expression over features that are not derived, but for its own.
        codes: feature to the code table its values are looked up in.
        function: the dataset's own, run on a frame without rows.
        name: the function's dotted path.
        declared: feature to the features the function makes it from. Given, it is believed, and features that
            are not in it and are read from the file are left as they are by the function.
        others: whether columns of the raw file that are no feature are taken along under their names.

    Returns:
        A column a feature, in the schema's order; with ``others`` what else the function makes, and one more
        for those it leaves as they are, under ``*``.
    """
    derive = derive or {}
    back = {feature: column for column, feature in (rename or {}).items()}
    made = {
        feature: _read(back.get(feature, feature), feature, described.default)
        for feature, described in schema.features.items()
        if not described.computed and (feature not in derive or converts(feature, derive[feature]))
    }
    made |= {name: _coded(made[name], table) for name, table in (codes or {}).items() if name in made}
    made |= {
        feature: replace(_expression(sql, made), own=made[feature].raw)
        for feature, sql in derive.items()
        if converts(feature, sql)
    }
    made |= {feature: _expression(sql, made) for feature, sql in derive.items() if not converts(feature, sql)}
    read: Mapping[str, Iterable[str]] | None = declared or {}
    if function is not None and not declared:
        read = reads(
            function, {feature: described.dtype for feature, described in schema.features.items() if feature in made}
        )
    result = {feature: _applied(feature, read, made, name) for feature in schema.features}
    if others:
        made_too = [n for n in read or () if n not in schema.features and not n.startswith("_")]
        result |= {column: _applied(column, read, made, name) for column in made_too}
        result[ALL] = Column("identity", (ALL,)) if read is not None else Column("function", (ALL,), by=name)
    return result


def find(made: Mapping[str, Column], name: str) -> Column | None:
    """How a column of that name is made; None where there is no such column."""
    if name in made or ALL not in made:
        return made.get(name)
    others = made[ALL]
    return Column("identity", (name,)) if others.how == "identity" else others


def _read(column: str, feature: str, default: Any) -> Column:
    by = "" if default is None else f"default {default}"
    return Column("identity" if column == feature else "rename", (column,), by=by)


def _coded(read: Column, table: str) -> Column:
    return replace(read, by=", ".join(filter(None, (f"codes {table}", read.by))))


def _expression(sql: str, made: Mapping[str, Column]) -> Column:
    expression = pl.sql_expr(sql)
    if expression.meta.has_multiple_outputs():  # COLUMNS('…') picks by pattern, and names nothing
        return Column("expression", (ALL,), by=sql)
    names = tuple(dict.fromkeys(expression.meta.root_names()))
    return Column("expression", _inputs(names, made), names, sql)


def _applied(feature: str, read: Mapping[str, Iterable[str]] | None, made: Mapping[str, Column], name: str) -> Column:
    """A feature after the dataset's function."""
    before = made.get(feature)
    if read is not None and feature not in read and before is not None:
        return before
    names = tuple(read[feature]) if read is not None and feature in read else (ALL,)
    own = before.raw if before is not None else ""
    if ALL in names:
        return Column("function", (ALL,), by=name, own=own)
    return Column("function", _inputs(names, made), names, name, own)


def _inputs(names: Iterable[str], made: Mapping[str, Column]) -> tuple[str, ...]:
    """The raw columns behind some features."""
    found = tuple(dict.fromkeys(column for name in names for column in made[name].inputs))
    return (ALL,) if ALL in found else found


def reads(function: Function, dtypes: Mapping[str, pl.DataType]) -> dict[str, tuple[str, ...]] | None:
    """Which columns of its frame a function reads to make each column of its result.

    Args:
        function: LazyFrame to LazyFrame.
        dtypes: the columns of its frame.

    Returns:
        By column that it makes or changes, what it needs, in the order of the frame's columns; ``*`` where it
        takes whatever there is. None where that cannot be known, as the function collects the frame itself or
        fails without rows.
    """
    # Beside its features a frame holds all that the raw file said.
    others = {f"_text:{number}": dtype for number, dtype in enumerate(_OTHERS)}
    # Where only the number of rows matters polars reads the narrowest column: one of nulls, so none of the features.
    frame = {"_rows": pl.Null(), "_row": PROVENANCE["_row"], "_raw": PROVENANCE["_raw"], **others, **dtypes}
    found = _asked(function, {"": frame}, passed=True)
    if found is None:
        return None
    asked = {name: {column for _, column in of} for name, of in found.items()}
    return {
        name: (ALL,) if of & others.keys() else tuple(column for column in dtypes if column in of)
        for name, of in asked.items()
    }


def of_inputs(
    schema: Schema,
    function: Callable[..., pl.LazyFrame],
    inputs: Mapping[str, Mapping[str, pl.DataType]],
    *,
    name: str,
    declared: Mapping[str, Iterable[str]] | None = None,
) -> dict[str, Column]:
    """What each feature of a derived dataset is made from.

    Args:
        schema: the features.
        function: makes them, of a frame an input, in their order; run on frames without rows. A query is one too.
        inputs: the columns of each dataset it is given.
        name: what it is called.
        declared: feature to the columns of inputs it is made from, ``aviation/flights.dep_delay``; believed.

    Returns:
        A column a feature, in the schema's order; its inputs are columns of datasets, ``aviation/flights.dep_delay``.
    """
    known = {feature: tuple(read) for feature, read in (declared or {}).items()}
    if not known.keys() >= schema.features.keys():
        # With a column of nulls, as above; a function that minds it gets none.
        found = _asked(function, {one: {"_rows": pl.Null(), **dtypes} for one, dtypes in inputs.items()})
        found = _asked(function, inputs) if found is None else found
        for feature in schema.features.keys() - known.keys():
            asked = None if found is None else found.get(feature, set())
            known[feature] = (
                (ALL,)
                if asked is None
                else tuple(
                    f"{one}.{column}" for one, dtypes in inputs.items() for column in dtypes if (one, column) in asked
                )
            )
    return {feature: Column("function", known[feature], by=name) for feature in schema.features}


def _asked(
    function: Callable[..., pl.LazyFrame], frames: Mapping[str, Mapping[str, pl.DataType]], *, passed: bool = False
) -> dict[str, set[tuple[str, str]]] | None:
    """Which columns of its frames a function reads to make each column of its result.

    The function gets frames without rows; polars then tells, for one column of the result after the other, which
    columns it would have to read (its projection pushdown). Join keys, filters and orders count as read.

    Args:
        function: of a LazyFrame each.
        frames: their columns.
        passed: leave out what it passes through from its one frame.

    Returns:
        By column of the result pairs of frame and column; None where that cannot be known.
    """
    asked: set[tuple[str, str]] = set()

    def empty(one: str, columns: Mapping[str, pl.DataType]) -> pl.LazyFrame:
        def read(
            names: list[str] | None, predicate: pl.Expr | None, _n: int | None, _size: int | None
        ) -> Iterator[Any]:
            asked.update((one, name) for name in (columns if names is None else names))
            if predicate is not None:
                asked.update((one, name) for name in predicate.meta.root_names())
            yield pl.DataFrame(schema=dict(columns) if names is None else {name: columns[name] for name in names})

        return register_io_source(read, schema=pl.Schema(columns))

    given = {one: empty(one, columns) for one, columns in frames.items()}
    found: dict[str, set[tuple[str, str]]] = {}
    try:
        result = function(*given.values())
        names = result.collect_schema().names()
        if asked:
            return None
        for name in names:
            one = result.select(name)
            if passed and _passes(one, name, *given.values()):
                continue
            asked.clear()
            one.collect(optimizations=SAFE)
            found[name] = set(asked)
    except (Exception, pl.exceptions.PanicException):  # noqa: BLE001  # whatever a user's function raises without rows
        return None
    return found


def _passes(one: pl.LazyFrame, name: str, frame: pl.LazyFrame) -> bool:
    """Whether a result of one column is just that column of the frame."""
    if name not in frame.collect_schema():
        return False
    return one.explain(optimizations=SAFE) == frame.select(name).explain(optimizations=SAFE)


def stepwise(made: Mapping[str, Column], name: str) -> bool:
    """Whether a column is made from columns as they are in the dataset, not as they were before its function."""
    names = made[name].reads if name in made else ()
    read = [made.get(feature) for feature in names]
    return bool(names) and name not in names and all(r is not None and r.how != "function" for r in read)


def personal(made: Mapping[str, Column], marks: Mapping[str, bool], raw: Collection[str] = ()) -> dict[str, bool]:
    """The columns that are personal: True for sure, False for perhaps.

    Args:
        made: what each column is made from.
        marks: what some say of themselves, which is believed.
        raw: columns of the raw file that are known to be personal; those that marked ones are read from are too.
    """
    known = {*raw, *(of.raw for name, of in made.items() if marks.get(name) and of.raw)}
    found: dict[str, bool | None] = {}

    def holds(name: str) -> bool | None:
        if name not in found:
            found[name] = marks[name] or None if name in marks else follow(name)
        return found[name]

    def follow(name: str) -> bool | None:
        if not made[name].certain:
            return False if known or any(marks.values()) else None
        if not stepwise(made, name):
            marked = any(marks.get(feature) for feature in made[name].reads)
            return True if marked or known.intersection(made[name].inputs) else None
        return max((sure for feature in made[name].reads if (sure := holds(feature)) is not None), default=None)

    taken = {of.raw for of in made.values()}
    others = {c: of.certain for c in sorted(known - made.keys() - taken) if (of := find(made, c)) is not None}
    return {name: sure for name in made if name != ALL and (sure := holds(name)) is not None} | others


def to_json(made: Mapping[str, Column]) -> str:
    """Columns as the ledger keeps them; `from_json` reads it back."""
    return json.dumps(
        {
            name: {
                "how": c.how,
                "inputs": c.inputs,
                **({"reads": c.reads} if c.reads else {}),
                **({"by": c.by} if c.by else {}),
                **({"own": c.own} if c.own else {}),
            }
            for name, c in made.items()
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def from_json(text: str) -> dict[str, Column]:
    """Read back what `to_json` wrote."""
    return {
        name: Column(c["how"], tuple(c["inputs"]), tuple(c.get("reads", ())), c.get("by", ""), c.get("own", ""))
        for name, c in json.loads(text).items()
    }
