"""Sources, tables and users' artifacts as OpenLineage datasets. No value of any row is in them."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from openlineage.client import event_v2
from openlineage.client import facet_v2 as facets
from openlineage.client.generated.base import BaseFacet

from lakehouse import columns, measured
from lakehouse.config import Config, Dataset
from lakehouse.openlineage.gathering import Step
from lakehouse.openlineage.naming import Name, of_uri, of_zone
from lakehouse.records import Artifact, ExecutionState
from lakehouse.schema import PROVENANCE, Feature, Schema

__all__ = ["PRODUCER", "VERSION", "Datasets", "documented", "facet"]

F = TypeVar("F", bound=BaseFacet)

VERSION = importlib.metadata.version("lakehouse")
PRODUCER = f"pkg:generic/lakehouse@{VERSION}"
"""What makes the events: a package URL."""

_SUBTYPES = {"identity": "IDENTITY", "rename": "IDENTITY", "expression": "TRANSFORMATION", "function": "TRANSFORMATION"}


def facet(kind: type[F], **values: Any) -> F:
    """A facet that says who made it."""
    return kind(producer=PRODUCER, **values)


def documented(description: str, owner: str, *, job: bool) -> dict[str, Any]:
    """The facets that say what a job or dataset is and whose."""
    documentation = facets.documentation_job if job else facets.documentation_dataset
    ownership = facets.ownership_job if job else facets.ownership_dataset
    described = documentation.DocumentationJobFacet if job else documentation.DocumentationDatasetFacet
    owned = ownership.OwnershipJobFacet if job else ownership.OwnershipDatasetFacet
    return {
        **({"documentation": facet(described, description=description)} if description else {}),
        **({"ownership": facet(owned, owners=[ownership.Owner(name=owner, type="OWNER")])} if owner else {}),
    }


class Datasets:
    """What the executions of a lake read and make.

    Args:
        config: names the sources and datasets.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._namespace = config.openlineage.namespace if config.openlineage else "default"

    def of(self, step: Step) -> tuple[list[event_v2.InputDataset], list[event_v2.OutputDataset]]:
        """What a step reads and makes; of the same dataset once."""
        match step.record.type:
            case "Land":
                read, made = self._landing(step)
            case "Curate" | "Derive":
                read, made = self._curation(step)
            case _:
                read = [event_v2.InputDataset(*name, facets=found) for name, found in self._any(step.inputs)]
                made = [event_v2.OutputDataset(*name, facets=found) for name, found in self._any(step.outputs)]
        return (
            list({(one.namespace, one.name): one for one in read}.values()),
            list({(one.namespace, one.name): one for one in made}.values()),
        )

    def _landing(self, step: Step) -> tuple[list[event_v2.InputDataset], list[event_v2.OutputDataset]]:
        """From where the source says its files are, into its raw zone."""
        source = self._config.sources.get(step.about)
        places = [of_uri(uri, self._config.root) for uri in (source.places() if source else ())]
        read = [event_v2.InputDataset(*place, facets=_stored(place, step.about)) for place in places]
        raw = self._raw(step.about)
        made: dict[str, Any] = {}
        if step.record.state is ExecutionState.COMPLETE:
            made["outputStatistics"] = facet(
                facets.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
                fileCount=step.number("new"),
                size=step.number("size"),
            )
        return read, [event_v2.OutputDataset(*raw, facets=self._about_source(step.about), outputFacets=made)]

    def _curation(self, step: Step) -> tuple[list[event_v2.InputDataset], list[event_v2.OutputDataset]]:
        """From the raw zones of sources, or other datasets' tables, into a dataset's and its quarantine.

        The raw zone is one dataset however many files were read, as a folder is by the conventions.
        """
        dataset = self._config.datasets.get(step.about)
        schemas = [artifact for artifact in step.inputs if artifact.type == "Schema"]
        read = []
        if dataset is not None:
            sources = [str(schema.properties["source"]) for schema in schemas if "source" in schema.properties]
            sources = sources or [*dataset.source_names]
            # Rows are counted over the batch: of which of several sources they are is not said.
            checks = _checks(step, dataset) if len(sources) == 1 else {}
            for source in sources:
                about = self._about_source(source)
                read.append(event_v2.InputDataset(*self._raw(source), facets=about, inputFacets=checks))
            tables = [artifact for artifact in step.inputs if artifact.type == "TableVersion"]
            read += [event_v2.InputDataset(*name, facets=found) for name, found in self._any(tables)]
        made = {artifact.type: artifact for artifact in step.outputs}
        name = of_zone(self._config.root, "curated", step.about)
        about = {**_stored(name, step.about, delta=True), **self._about_table(step.about)}
        if schemas:
            about |= self._shape(schemas, dataset)
        table = event_v2.OutputDataset(*name, facets=about)
        found = [table]
        if (version := made.get("TableVersion")) is not None:
            about |= _version(version)
            table.outputFacets = _written(version)
        if (rejected := made.get("QuarantineVersion")) is not None:
            found.append(self._quarantine(step.about, rejected))
        return read, found

    def _quarantine(self, dataset: str, version: Artifact) -> event_v2.OutputDataset:
        name = of_zone(self._config.root, "quarantine", dataset)
        about = {**_stored(name, f"{dataset} (quarantine)", delta=True), "version": _numbered(version, "table_version")}
        return event_v2.OutputDataset(*name, facets=about, outputFacets=_written(version))

    def _any(self, artifacts: Iterable[Artifact]) -> Iterator[tuple[Name, dict[str, Any]]]:
        """Whatever artifacts as datasets."""
        for artifact in artifacts:
            dataset = str(artifact.properties.get("dataset", ""))
            match artifact.type:
                case "TableVersion":
                    name = of_zone(self._config.root, "curated", dataset)
                    about = {**_stored(name, dataset, delta=True), **self._about_table(dataset)}
                    yield name, {**about, "version": _numbered(artifact, "version")}
                case "QuarantineVersion":
                    name = of_zone(self._config.root, "quarantine", dataset)
                    about = _stored(name, f"{dataset} (quarantine)", delta=True)
                    yield name, {**about, "version": _numbered(artifact, "table_version")}
                case "RawFile":
                    source = str(artifact.properties.get("source", ""))
                    yield self._raw(source), self._about_source(source)
                case kind:
                    called = artifact.name or str(artifact.id)
                    unplaced = Name(self._namespace, f"{kind}/{called}")
                    name = of_uri(artifact.uri, self._config.root) if artifact.uri else unplaced
                    typed = facet(facets.dataset_type_dataset.DatasetTypeDatasetFacet, datasetType=kind.upper())
                    yield name, {"datasetType": typed}

    def _raw(self, source: str) -> Name:
        return of_zone(self._config.root, "raw", source)

    def _about_source(self, name: str) -> dict[str, Any]:
        source = self._config.sources.get(name)
        described = documented(source.description, "", job=False) if source else {}
        return {**_stored(self._raw(name), name), **described}

    def _about_table(self, name: str) -> dict[str, Any]:
        """What is known of a dataset beside its versions; its name in the lake beside that of its folder."""
        dataset = self._config.datasets.get(name)
        described = documented(dataset.description, dataset.owner, job=False) if dataset else {}
        called = facets.symlinks_dataset.Identifier(namespace=self._namespace, name=name, type="TABLE")
        return {**described, "symlinks": facet(facets.symlinks_dataset.SymlinksDatasetFacet, identifiers=[called])}

    def _shape(self, schemas: Sequence[Artifact], dataset: Dataset | None) -> dict[str, Any]:
        """Its columns, which of them are personal, and what each is made from, by the schemas of all its sources."""
        features = Schema.from_json(str(schemas[0].properties["features"])).features
        fields = [_field(n, name, feature) for n, (name, feature) in enumerate(features.items(), 1)]
        fields += [_own_field(n, name) for n, name in enumerate(PROVENANCE, len(features) + 1)]
        marks = {name: True for name, feature in features.items() if feature.personal}
        known = marks if dataset is None else dataset.schema.marks
        held, made = dict(marks), list[tuple[Name, dict[str, columns.Column]]]()
        for schema in schemas:
            one = columns.from_json(str(schema.properties.get("columns") or "{}"))
            first = next(iter(() if dataset is None else dataset.source_names), "")
            inputs: list[str] = json.loads(str(schema.properties.get("inputs", "[]")))
            made += [(of_zone(self._config.root, "curated", name), _of_input(one, name)) for name in inputs]
            if not inputs:
                made.append((self._raw(str(schema.properties.get("source") or first)), one))
            private = [f"{name}.{column}" for name in inputs for column in self._private(name)]
            found_ = columns.personal(one, known, private)
            held |= {name: sure or held.get(name, False) for name, sure in found_.items()}
        personal = [
            facets.tags_dataset.TagsDatasetFacetFields(
                key="personal", value="true" if sure else "perhaps", source="LAKEHOUSE", field=name
            )
            for name, sure in held.items()
        ]
        found: dict[str, Any] = {"schema": facet(facets.schema_dataset.SchemaDatasetFacet, fields=fields)}
        if personal:
            found["tags"] = facet(facets.tags_dataset.TagsDatasetFacet, tags=personal)
        if dataset is not None and any(one for _, one in made):
            found["columnLineage"] = _column_lineage(made)
        return found

    def _private(self, name: str) -> Collection[str]:
        """The personal columns of a dataset."""
        dataset = self._config.datasets.get(name)
        return () if dataset is None else measured.private(dataset, self._config)


def _stored(name: Name, called: str, *, delta: bool = False) -> dict[str, Any]:
    """Where a dataset lies, and how."""
    found: dict[str, Any] = {
        "dataSource": facet(facets.datasource_dataset.DatasourceDatasetFacet, name=called, uri=name.uri),
        "datasetType": facet(
            facets.dataset_type_dataset.DatasetTypeDatasetFacet, datasetType="TABLE" if delta else "FILE"
        ),
    }
    if delta:
        found["storage"] = facet(facets.storage_dataset.StorageDatasetFacet, storageLayer="delta", fileFormat="parquet")
    return found


def _numbered(artifact: Artifact, name: str) -> BaseFacet:
    kind = facets.dataset_version_dataset.DatasetVersionDatasetFacet
    return facet(kind, datasetVersion=str(artifact.properties[name]))


def _version(artifact: Artifact) -> dict[str, Any]:
    """A table's new version: its number, what it holds now, and whether the table itself is new."""
    found: dict[str, Any] = {
        "version": _numbered(artifact, "version"),
        "dataQualityMetrics": facet(
            facets.data_quality_metrics_dataset.DataQualityMetricsDatasetFacet,
            rowCount=artifact.properties["total"],
            columnMetrics={},
        ),
    }
    if artifact.properties["table_version"] == 0:
        lifecycle = facets.lifecycle_state_change_dataset
        change = lifecycle.LifecycleStateChange
        first = artifact.properties["version"] == 0
        found["lifecycleStateChange"] = facet(
            lifecycle.LifecycleStateChangeDatasetFacet,
            lifecycleStateChange=change.CREATE if first else change.OVERWRITE,
        )
    return found


def _written(artifact: Artifact) -> dict[str, Any]:
    kind = facets.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet
    return {"outputStatistics": facet(kind, rowCount=artifact.properties["rows"])}


def _checks(step: Step, dataset: Dataset) -> dict[str, Any]:
    """How many rows were read, and which of the schema's demands they did not meet; counts, and no value."""
    read, rejected = step.number("read"), step.number("rejected")
    if not step.ended or read is None or rejected is None:
        return {}
    quality, one = facets.data_quality_assertions_dataset, facets.data_quality_assertions_dataset.Assertion
    made = []
    if dataset.max_rejected is not None:
        made.append(
            one(
                assertion="max_rejected",
                success=not dataset.max_rejected.exceeded(rejected, read),
                severity="error",
                expected=str(dataset.max_rejected),
                actual=f"{rejected} of {read} rows",
            )
        )
    for reason, count in step.table("reasons").items():
        column, colon, what = reason.partition(": ")
        made.append(
            one(
                assertion=what if colon else reason,
                success=False,
                column=column if column in dataset.schema.features else None,
                severity="warn",
                actual=f"rejected rows: {count}",
            )
        )
    for column, kind, severity in _odd(step):
        worst = "error" if severity == "error" else "warn"
        made.append(one(assertion=kind, success=False, column=column or None, severity=worst))
    files = step.table("files")
    metrics = facets.data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet
    return {
        "dataQualityMetrics": facet(metrics, rowCount=read, fileCount=len(files) or None, columnMetrics={}),
        **(
            {"dataQualityAssertions": facet(quality.DataQualityAssertionsDatasetFacet, assertions=made)} if made else {}
        ),
    }


def _odd(step: Step) -> Iterator[tuple[str, str, str]]:
    """What was odd about a curation's batch as a whole: feature, kind and severity of each; rows are told of above."""
    for artifact in step.outputs:
        if artifact.type == "Anomalies":
            for path, kind, severity, action, _ in json.loads(str(artifact.properties.get("found", "[]"))):
                if action != "quarantine":
                    yield path, kind, severity


def _field(position: int, name: str, feature: Feature) -> facets.schema_dataset.SchemaDatasetFacetFields:
    kind = feature.type.value
    typed = f"{kind}({feature.precision},{feature.scale})" if kind == "decimal" else kind
    typed = f"list[{typed}]" if feature.repeated else typed
    unit = f"in {feature.unit}" if feature.unit else ""
    described = "; ".join(text for text in (feature.description, unit) if text) or None
    return _schema_field(position, name, typed, described)


def _own_field(position: int, name: str) -> facets.schema_dataset.SchemaDatasetFacetFields:
    typed = {"_raw": "string", "_row": "int", "_execution": "int", "_recorded_at": "datetime"}[name]
    return _schema_field(position, name, typed, "the lake's own provenance")


def _schema_field(
    position: int, name: str, typed: str, described: str | None
) -> facets.schema_dataset.SchemaDatasetFacetFields:
    return facets.schema_dataset.SchemaDatasetFacetFields(
        name=name, type=typed, description=described, ordinal_position=position
    )


def _of_input(made: Mapping[str, columns.Column], dataset: str) -> dict[str, columns.Column]:
    """What columns are made from, of one of the datasets that they are made from."""
    return {
        name: replace(
            column,
            inputs=tuple(
                read if read == columns.ALL else read.partition(".")[2]
                for read in column.inputs
                if read == columns.ALL or read.partition(".")[0] == dataset
            ),
        )
        for name, column in made.items()
    }


def _column_lineage(made: Iterable[tuple[Name, Mapping[str, columns.Column]]]) -> BaseFacet:
    """Which columns of which raw files or tables each column is made from; ``*`` stands for perhaps all of them."""
    lineage = facets.column_lineage_dataset
    fields: dict[str, Any] = {}
    for raw, one in made:
        for name, column in one.items():
            if name == columns.ALL:
                continue  # what is taken along has no name yet
            how = lineage.Transformation(
                type="DIRECT", subtype=_SUBTYPES[column.how], description=column.by or None, masking=False
            )
            inputs = [lineage.InputField(*raw, field=field, transformations=[how]) for field in column.inputs]
            fields.setdefault(name, []).extend(inputs)
    return facet(
        lineage.ColumnLineageDatasetFacet,
        fields={name: lineage.Fields(inputFields=inputs) for name, inputs in fields.items()},
    )
