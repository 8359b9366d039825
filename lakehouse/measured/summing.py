"""The statistics of a version: those that its curations kept, added up; what was not kept is measured in the table.

Adding up a thousand files takes long. So every `_EVERY`-th curation also keeps the total after it, and a version is the
newest total that still holds and what came since. A total no longer holds once rows that are in it were superseded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lakehouse import columns, timeline
from lakehouse.config import Config, Dataset, curate_function, derivation
from lakehouse.errors import StorageError
from lakehouse.measured.keeping import Kept, kept_among, kept_of, read
from lakehouse.records import MAKERS, Execution, Version
from lakehouse.schema import PROVENANCE, STATES, Feature, FeatureType, Schema
from lakehouse.site import Site
from lakehouse.states import DELETE, current
from lakehouse.timeline import Superseded, Timeline
from lakehouse.validation.statistics import Statistics, generate_statistics

__all__ = ["counted", "measure", "of_batch", "of_version", "private", "running_total"]

_EVERY = 32  # curations from one total to the next


def private(dataset: Dataset, config: Config) -> frozenset[str]:
    """The columns of a dataset whose values are not kept: the personal ones, and what may be made from them."""
    if dataset.derived:
        return _inherited(dataset, config)
    if not any(dataset.schema.marks.values()):
        return frozenset()
    found: set[str] = {name for name, marked in dataset.schema.marks.items() if marked}
    for source in dataset.source_names:
        one = dataset.of(source)
        made = columns.of_mapping(
            one.schema,
            rename=one.rename,
            derive=one.derive,
            function=curate_function(one, config.project),
            name=one.curate or "",
            declared=one.columns,
            others=one.new_columns == "add",
        )
        found |= columns.personal(made, one.schema.marks).keys()
    return frozenset(found)


def _inherited(dataset: Dataset, config: Config) -> frozenset[str]:
    """The personal columns of a derived dataset: those that say so, and those made from personal ones of its inputs."""
    inputs = {name: config.dataset(name) for name in dataset.inputs}
    known = [f"{one}.{name}" for one, of in inputs.items() for name in private(of, config)]
    if not known and not any(dataset.schema.marks.values()):
        return frozenset()
    made = columns.of_inputs(
        dataset.schema,
        derivation(dataset, config.project),
        {name: of.schema.dtypes for name, of in inputs.items()},
        name=dataset.curate or "sql",
        declared=dataset.columns,
    )
    return frozenset(columns.personal(made, dataset.schema.marks, known))


def measure(  # noqa: PLR0913  # by name
    rows: pl.LazyFrame,
    schema: Schema,
    personal: Collection[str],
    *,
    slices: Sequence[str] = (),
    weight: str | None = None,
    scratch: Path | None = None,
) -> Statistics:
    """Statistics of curated rows, without the lake's own columns.

    Args:
        rows: the rows.
        schema: the dataset's.
        personal: columns whose values are left out.
        slices: features by whose values the rows are measured too.
        weight: the feature that says how much a row counts.
        scratch: a folder for files that are deleted again.

    Raises:
        StorageError: they cannot be read.
    """
    plain = counted(rows).drop(*PROVENANCE, *STATES, strict=False)
    typed = _as_stored(schema, plain.collect_schema())
    try:
        return generate_statistics(
            plain, schema=typed, slices=slices, weight=weight, personal=personal, rules=False, scratch=scratch
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise StorageError(f"the rows cannot be measured: {why}; `lakehouse check` tells what is damaged") from error


def counted(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Curated rows without those that only say that their key is no more: what these do not say is not missing."""
    return rows.filter(pl.col("_change") != DELETE) if "_change" in rows.collect_schema() else rows


def _as_stored(schema: Schema, columns: Mapping[str, pl.DataType]) -> Schema:
    """The schema of rows that were curated: nothing is to be filled in, and what was taken along is text."""
    taken = {name: Feature(type=FeatureType.STRING) for name in columns if name not in schema.features}
    known = {name: feature.model_copy(update={"default": None}) for name, feature in schema.features.items()}
    return schema.model_copy(update={"features": known | taken})


def of_version(site: Site, past: Timeline, version: Version, schema: Schema, personal: Collection[str]) -> Statistics:
    """The statistics of all rows that a version shows; of ``changes`` all there are, of snapshots the newest picture.

    Args:
        site: the opened lake.
        past: the dataset's.
        version: the version.
        schema: the dataset's.
        personal: columns whose values must not be in it.

    Raises:
        StorageError: rows that must be read cannot be.
    """
    if version.history == "snapshots":
        return of_batch(site, past, version, schema, personal)
    return _Sum(site, past, version, schema, personal).statistics()


def of_batch(site: Site, past: Timeline, version: Version, schema: Schema, personal: Collection[str]) -> Statistics:
    """The statistics of the rows that a version's own curation appended, whether or not they count still.

    Of a snapshot they are of all of it, not of what it changed.

    Raises:
        StorageError: rows that must be read cannot be.
    """
    one = kept_of(site.ledger, past.dataset, version.execution)
    own = read(site.storage, one.uri, one.sha256) if one is not None and one.personal >= set(personal) else None
    if own is not None:
        return own
    rows = timeline.held(site, version)
    if version.history == "snapshots":
        return measure(current(past.visible(rows, version), version.keys), schema, personal)
    return measure(rows.filter(pl.col("_execution") == version.execution), schema, personal)


def running_total(  # noqa: PLR0913  # what a curation knows of its batch, by name
    site: Site,
    past: Timeline,
    schema: Schema,
    personal: Collection[str],
    *,
    batch: Statistics,
    replaced: Superseded,
    sequence: int,
) -> Statistics | None:
    """The total to keep with a batch: of all rows that count once it is visible; None where none is due.

    Args:
        site: the opened lake.
        past: the dataset's, before the batch.
        schema: the dataset's.
        personal: columns whose values must not be in it.
        batch: the batch's own statistics.
        replaced: what the batch replaces.
        sequence: the curation's number among the dataset's.
    """
    if sequence % _EVERY or past.last is None:
        return None
    try:
        return _Sum(site, past, past.last, schema, personal, replaced).statistics() + batch
    except StorageError:  # a shortcut that is not worth a batch
        return None


@dataclass(frozen=True, slots=True)
class _Sum:
    """One adding up."""

    site: Site
    past: Timeline
    version: Version
    schema: Schema
    personal: Collection[str]
    replaced: Superseded | None = None  # by a batch that comes next

    def statistics(self) -> Statistics:
        total, after, made, known = self._back_to_a_total()
        hidden = self._hidden(after)
        parts = [] if total is None else [total]
        unknown: list[int] = []
        for execution in reversed(made):
            gone = hidden.get(execution, set())
            own = None
            if gone is None:
                continue
            if not gone and execution in known:
                own = read(self.site.storage, known[execution].uri, known[execution].sha256)
            if own is None:
                unknown.append(execution)
            else:
                parts.append(own)
        if unknown or not parts:
            parts.append(measure(self._rows(unknown, hidden), self.schema, self.personal))
        return _added(parts)

    def _back_to_a_total(self) -> tuple[Statistics | None, int, list[int], dict[int, Kept]]:
        """The newest total that still holds, and what came since: the past before it is not looked at.

        Returns:
            The total, and the execution up to which it goes (None and 0 without one); the curations after it that
            appended or replaced rows, newest first; and what is kept of them.
        """
        made: list[int] = []
        known: dict[int, Kept] = {}
        until = self.version.execution
        while page := self._curations(until):
            until = page[-1].id - 1
            ids = [execution.id for execution in page]
            found = kept_among(self.site.ledger, self.past.dataset, ids)
            fit = {one.execution: one for one in found.values() if one.personal >= set(self.personal)}
            touched = self._touched(until) if any(one.total for one in fit.values()) else []
            for execution in page:
                one = fit.get(execution.id)
                if one is not None and one.total and not any(by > one.execution >= old for by, old in touched):
                    total = read(self.site.storage, one.total_uri, one.total)
                    if total is not None:
                        return total, one.execution, made, known
                if one is not None:
                    known[one.execution] = one
                if "version" in execution.properties:
                    made.append(execution.id)
        return None, 0, made, known

    def _curations(self, until: int) -> list[Execution]:
        """The dataset's newest curations up to an execution, as many as are looked at in one go."""
        return self.site.ledger.get_executions(
            type=MAKERS, context=self.past.context, until=until, newest_first=True, limit=2 * _EVERY, only=["version"]
        )

    def _hidden(self, after: int) -> dict[int, set[str] | None]:
        """The rows that are left out, of the curations after an execution."""
        hidden = self.past.hidden(self.version, after=after)
        for old, raws in (self.replaced or {}).items():
            before = hidden.get(old, set())
            hidden[old] = None if raws is None or before is None else {*before, *raws}
        return hidden

    def _touched(self, after: int) -> list[tuple[int, int]]:
        """Which execution, after that one and up to this version, superseded rows of which."""
        found = [
            (execution.id, old)
            for execution in self.past.superseding(after=after)
            if isinstance(made := execution.properties.get("version"), int) and made <= self.version.version
            for old in timeline.superseded(execution)
        ]
        return [*found, *((self.version.execution + 1, old) for old in self.replaced or {})]

    def _rows(self, executions: Iterable[int], hidden: Mapping[int, set[str] | None]) -> pl.LazyFrame:
        """The rows of some curations that count."""
        rows = timeline.held(self.site, self.version)
        rows = rows.filter(pl.col("_execution").is_in(list(executions)))
        gone = [(execution, raw) for execution in executions for raw in hidden.get(execution) or ()]
        if gone:
            left_out = pl.LazyFrame(gone, schema={"_execution": pl.Int64, "_raw": pl.String}, orient="row")
            rows = rows.join(left_out, on=["_execution", "_raw"], how="anti")
        return rows


def _added(parts: Sequence[Statistics]) -> Statistics:
    """The sum, in pairs: adding small ones to a large one again and again would cost the large one each time."""
    while len(parts) > 1:
        pairs = [parts[at : at + 2] for at in range(0, len(parts), 2)]
        parts = [pair[0] + pair[1] if len(pair) > 1 else pair[0] for pair in pairs]
    return parts[0]
