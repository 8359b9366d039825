"""How the files of each of a dataset's sources become its rows, with the code tables they are read with."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import polars as pl

from lakehouse import columns, views
from lakehouse.config import CodeTable, Dataset, curate_function
from lakehouse.environment import code_hash
from lakehouse.errors import NotFoundError, SchemaError
from lakehouse.formats import Format
from lakehouse.records import Artifact, Version, printable
from lakehouse.site import Site
from lakehouse.timeline import asked
from lakehouse.units import written
from lakehouse.validation import Codes
from lakehouse.validation import Mapping as RowMapping

__all__ = ["Intake", "intake", "intakes", "joined"]

_SHOWN = 3  # meanings of a code in a message


@dataclass(frozen=True)
class Intake:
    """How the files of one source become a dataset's rows.

    Attributes:
        dataset: as if this were its one source.
        reader: the format its files are read with.
        mapping: how rows are made from a file's columns.
        code: the hash of the code that makes them, "" without any.
        fingerprint: of all that decides what rows a file gives.
        tables: the versions of datasets that codes are looked up in.
    """

    dataset: Dataset
    reader: Format
    mapping: RowMapping
    code: str
    fingerprint: str
    tables: tuple[Version, ...]

    @property
    def source(self) -> str:
        """The source's name."""
        return self.dataset.source

    @functools.cached_property
    def made(self) -> dict[str, columns.Column]:
        """What each column is made from."""
        return columns.of_mapping(
            self.dataset.schema,
            rename=self.dataset.rename,
            derive=self.dataset.derive,
            codes={name: _named(table, self.tables) for name, table in self.dataset.codes.items()},
            function=self.mapping.function,
            name=self.dataset.curate or "",
            declared=self.dataset.columns,
            others=self.dataset.new_columns == "add",
        )

    @functools.cached_property
    def schema(self) -> Artifact:
        """The schema, mapping and policies the rows are made by, and what each column is made from, as an artifact."""
        text = columns.to_json(self.made)
        # What is declared of the function may change without changing a row: an artifact of its own all the same.
        features = self.dataset.schema.to_json()
        kept = {} if self.dataset.retention is None else {"retention": written(self.dataset.retention)}
        described = " ".join([self.fingerprint, self.source, text, features, *kept.values()])
        identity = hashlib.sha256(described.encode("utf-8", "surrogatepass")).hexdigest()
        return Artifact(
            "Schema",
            name=f"{self.dataset.name}:{identity[:12]}",
            external_id=f"schema/{self.dataset.name}/{identity}",
            properties={
                "dataset": self.dataset.name,
                "fingerprint": self.fingerprint,
                "source": self.source,
                "columns": text,
                "features": features,
                "format": self.reader.model_dump_json(),
                "mapping": json.dumps(self.dataset.mapping, ensure_ascii=False),
                **kept,
            },
        )


def intakes(site: Site, dataset: Dataset) -> dict[str, Intake]:
    """How the files of each source become rows now, by source; each code table at one version for all of them.

    Raises:
        NotFoundError: a code table has no version yet.
        SchemaError: a code table is none: a code means several things, or its columns are others.
    """
    pinned = {name: _pinned(site, dataset, name) for name in dataset.code_tables}
    return {
        source: _intake(site, dataset.of(source), dataset.validation.environment, pinned)
        for source in dataset.source_names
    }


def intake(site: Site, dataset: Dataset, environment: str | None) -> Intake:
    """How the files of a dataset's one source become rows of an environment; raises what `intakes` does."""
    return _intake(site, dataset, environment, {name: _pinned(site, dataset, name) for name in dataset.code_tables})


def joined(marks: Mapping[str, str]) -> str:
    """One mark of all sources: of one source its own, as it always was."""
    if len(set(marks.values())) == 1:
        return next(iter(marks.values()))
    return hashlib.sha256(json.dumps(marks, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def _intake(site: Site, dataset: Dataset, environment: str | None, pinned: Mapping[str, Version]) -> Intake:
    source = site.config.source(dataset.source)
    reader = dataset.reader(source)
    function = curate_function(dataset, site.config.project)
    code = code_hash(function)
    tables = tuple(pinned[name] for name in dataset.code_tables)
    decides = [dataset.fingerprint(source), code, *(f"{v.dataset}@{v.version}" for v in tables)]
    return Intake(
        dataset,
        reader,
        RowMapping(
            dataset.schema,
            reader.null_values,
            dict(dataset.rename),
            dict(dataset.derive),
            function,
            tuple(dataset.partition_by),
            environment=environment,
            keys=dataset.keys if dataset.keyed else (),
            event_time=dataset.event_time,
            delete_when=dataset.delete_when,
            codes={name: _codes(site, dataset, name, table, pinned) for name, table in dataset.codes.items()},
        ),
        code,
        hashlib.sha256(" ".join(decides).encode()).hexdigest(),
        tables,
    )


def _pinned(site: Site, dataset: Dataset, table: str) -> Version:
    try:
        return asked(site, table)[1]
    except NotFoundError:
        raise NotFoundError(
            f"dataset '{dataset.name}' looks codes up in '{table}', which has no version yet; run `lakehouse curate "
            f"{table}` first"
        ) from None


def _codes(site: Site, dataset: Dataset, feature: str, table: CodeTable, pinned: Mapping[str, Version]) -> Codes:
    """A code table's codes as texts, and what they mean; a code or meaning that is missing is none.

    Raises:
        SchemaError: a code means several things, or the table's columns are others.
    """
    version = pinned[table.dataset]
    wanted, name = dataset.schema.features[feature].dtype, f"{table.dataset}@{version.version}"
    past = asked(site, table.dataset, version.version)[0]
    frame = views.state(site, past, version)
    dtypes = frame.collect_schema()
    if table.from_ not in dtypes or dtypes.get(table.to) != wanted:
        what = f"has no column '{table.from_}'" if table.from_ not in dtypes else f"'{table.to}' is not {wanted}"
        raise SchemaError(
            f"dataset '{dataset.name}': codes.{feature}: {name} was made under another schema: {what}. Run `lakehouse "
            f"curate {table.dataset} --again` first"
        )
    pairs = frame.select(code=pl.col(table.from_).cast(pl.String), value=table.to).drop_nulls().unique()
    found = pairs.collect(engine="streaming").sort("code", "value")
    twice = found.filter(pl.col("code").is_duplicated())
    if not twice.is_empty():
        raise SchemaError(
            f"dataset '{dataset.name}': codes.{feature}: {_several(site, table, twice)} in {name}. Mend that table so "
            "that each code means one thing"
        )
    return Codes(table.dataset, found["code"], found["value"])


def _several(site: Site, table: CodeTable, twice: pl.DataFrame) -> str:
    """That codes mean several things; which, unless they are personal."""
    features = site.config.dataset(table.dataset).schema.features
    if any(features[name].personal for name in (table.from_, table.to)):
        return f"{twice['code'].n_unique():,} codes mean several things"
    code = twice["code"][0]
    meanings = twice.filter(pl.col("code") == code)["value"].cast(pl.String).head(_SHOWN)
    return f"the code '{printable(code)}' means " + " and ".join(f"'{printable(one)}'" for one in meanings)


def _named(table: CodeTable, versions: Collection[Version]) -> str:
    return next(f"{v.dataset}@{v.version}" for v in versions if v.dataset == table.dataset)
