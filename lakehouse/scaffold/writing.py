"""The YAML of a source and a dataset, as a person would have written it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lakehouse.config.flow import comment, flow
from lakehouse.scaffold.features import Guess
from lakehouse.scaffold.grouping import fresh, snake

__all__ = ["dataset", "feature_names", "job", "settings", "source"]

_USABLE = re.compile(r"[^\W_][\w.\-]{0,99}")
_IDENTITY = re.compile(r"(?:^|_)(?:id|uuid|guid|key|code|no|nr|num|number)$|[a-z]Id$", re.IGNORECASE)
_NOT_EVENT = re.compile(r"birth|born|dob|expir|due|until|_end|^end|_to$|deadline", re.IGNORECASE)


def settings(root: str) -> str:
    """``lakehouse.yaml``."""
    return f"""\
# The lake. Relative paths start at the folder that holds configs/.
root: {root}                  # raw/, curated/, quarantine/ and the ledger metadata.db go here
timezone: UTC               # of moments given without an offset
"""


def job(datasets: Sequence[str]) -> str:
    """``jobs/nightly.yaml``."""
    listed = " " + flow(list(datasets))
    if len(listed) > 100:
        listed = "".join(f"\n  - {flow(name)}" for name in datasets)
    return f"""\
# `lakehouse run nightly` runs it now, `lakehouse serve` by its schedule.
datasets:{listed}
schedule: "0 2 * * *"       # minute, hour, day, month, weekday
timezone: UTC
"""


def source(where: Mapping[str, Any], kind: str, options: Mapping[str, Any], nulls: Sequence[str], files: int) -> str:
    """``sources/<name>.yaml``."""
    said = {"type": kind, **options, **({"null_values": list(nulls)} if nulls else {})}
    format_ = kind if len(said) == 1 else flow(_filled(said))
    lines = ["type: files", *[f"{key}: {flow(_filled(value))}" for key, value in where.items()], f"format: {format_}"]
    if files > 1:
        lines[1] += f"    # {files:,} files when this was written"
    if options.get("header") is False:
        lines.append("# The files have no header: give the columns their names above, and to the dataset's features.")
    return "\n".join(lines) + "\n"


def _filled(value: Any) -> Any:
    """Sources' strings may hold ``${SECRET}``: what only looks like it is doubled."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, Mapping):
        return {key: _filled(inner) for key, inner in value.items()}
    return [_filled(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def feature_names(columns: Sequence[str]) -> dict[str, str]:
    """The feature each column becomes: itself, unless the lake cannot store that name."""
    usable = [column for column in columns if _USABLE.fullmatch(column)]
    names: dict[str, str] = {}
    for column in columns:
        wanted = column if column in usable else snake(column) or "column"
        # A usable name keeps its place; another one makes way for it.
        others = {name for name in usable if name != column} - names.keys() if column not in usable else set[str]()
        names[column] = fresh(wanted, {*names.values(), *others})
    return names


def dataset(name: str, source_name: str, guesses: Sequence[Guess], left_out: Sequence[str], rows: int) -> str:
    """``datasets/<subject>/<name>.yaml``."""
    names = feature_names([guess.column for guess in guesses])
    renamed = {column: feature for column, feature in names.items() if column != feature}
    lines = [
        f"# Written by `lakehouse init` from {rows:,} rows; correct what you know better.",
        "# description: what one row is",
        f"source: {flow(source_name)}",
        *_keys(name.partition("/")[2], guesses, names),
        *_event_time(guesses, names),
        "# max_rejected: 5%        # above it a batch is refused as a whole",
    ]
    if renamed:
        lines.append(f"rename: {flow(renamed)}")
    lines += [f"# left out: {shown}" for shown in (comment(column).strip(" #") for column in left_out)]
    lines += ["schema:", "  features:"]
    for guess in guesses:
        lines.append(f"    {flow(names[guess.column])}: {flow(guess.options)}{comment(guess.comment)}")
    return "\n".join(lines) + "\n"


def _keys(name: str, guesses: Sequence[Guess], names: Mapping[str, str]) -> list[str]:
    unique = [guess for guess in guesses if guess.unique and guess.required and guess.type in ("int", "string")]
    one = name.removesuffix("s")
    sure = {"id", "uuid", "guid", f"{name}_id", f"{one}_id", f"{one}id"}
    own = next((names[guess.column] for guess in unique if names[guess.column].lower() in sure), None)
    if own is not None:
        return [f"keys: [{flow(own)}]"]
    likely = [names[guess.column] for guess in unique if _IDENTITY.search(guess.column) or guess is guesses[0]]
    return [f"# keys: [{flow(likely[0])}]{' ' * 8}# unique in these files: does it name a row?"] if likely else []


def _event_time(guesses: Sequence[Guess], names: Mapping[str, str]) -> list[str]:
    def of(kind: str) -> list[str]:
        fitting = [g for g in guesses if g.type == kind and g.required and not _NOT_EVENT.search(g.column)]
        return [names[guess.column] for guess in fitting]

    found = of("datetime") or of("date")
    if len(found) == 1:
        return [f"event_time: {flow(found[0])}"]
    return [f"# event_time: one of {', '.join(map(flow, found[:6]))}"] if found else []
