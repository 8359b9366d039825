"""Where personal data came in, and every place that holds it: followed through the lineage of columns.

A feature is personal that says so, or that is made from one, unless it says ``personal: false``. Holds names,
counts and moments; never a value.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime

from lakehouse import columns, measured, references, tagged
from lakehouse.columns import ALL
from lakehouse.lineage.columns import declared
from lakehouse.lineage.configurations import Configuration, configurations
from lakehouse.lineage.spans import Past, overall
from lakehouse.metadata import MAKES, READS
from lakehouse.records import MAKERS, Artifact, Execution, TypeKind
from lakehouse.site import Site

__all__ = ["Holding", "Personal", "personal"]


@dataclass(frozen=True, slots=True)
class Holding:
    """One place that holds personal data.

    Attributes:
        kind: ``RawColumn``, ``Import``, ``Column``, ``Quarantine``, ``Statistics``, or the type of a user's artifact.
        name: ``flights.tailnum`` (source and raw column), ``aviation/flights.tailnum``, ``Model:churn@0``; of an import
            ``v1:aviation/flights.tailnum``, by its tag.
        personal: ``yes``; ``perhaps`` where it may have been made from personal data and is not known not to be.
        why: what makes it so.
        versions: of a column, the versions that show it; older ones stay readable. Else "".
        first: when the first of it was landed, curated or made.
        last: when the last was; of a column when it was left out, None while it is not.
        files: of a raw column, how many raw files hold it; else None.
        place: where it lies.
        owner: of the datasets it is in or came of.
        purpose: what these process it for.
    """

    kind: str
    name: str
    personal: str
    why: str
    versions: str = ""
    first: datetime | None = None
    last: datetime | None = None
    files: int | None = None
    place: str = ""
    owner: str = ""
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Personal:
    """The record of personal data in a lake.

    Attributes:
        holdings: every place, in the order the data take: raw, curated, quarantined, measured, made of these.
        gaps: datasets that hold personal data and name no owner or purpose, with what is missing.
    """

    holdings: tuple[Holding, ...]
    gaps: tuple[str, ...]

    def to_csv(self) -> str:
        """The places as CSV, with a header; moments in ISO 8601, UTC."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in fields(Holding)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._plain())
        return text.getvalue()

    def to_json(self) -> str:
        """Everything, as one JSON object: ``holdings`` and ``gaps``."""
        return json.dumps({"holdings": list(self._plain()), "gaps": list(self.gaps)}, indent=2)

    def _plain(self) -> Iterator[dict[str, object]]:
        for holding in self.holdings:
            yield {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(holding).items()}


def personal(site: Site) -> Personal:
    """The record of personal data, as `Lake.personal` gives it."""
    record = _Record(site)
    came = [*record.raw(), *record.imported()]
    made = [*record.columns(), *record.quarantines(), *record.statistics(), *record.artifacts()]
    return Personal((*came, *made), tuple(record.gaps()))


class _Record:
    """The record being made."""

    def __init__(self, site: Site) -> None:
        self.site = site
        names = {*site.config.datasets, *(c.name for c in site.ledger.get_contexts(type="Dataset"))}
        self.pasts = {name: Past(site.ledger, name) for name in sorted(names)}
        self.tried = {name: configurations(site, past, tried=True) for name, past in self.pasts.items()}
        self.known = {name: [one for one in every if one.executions] for name, every in self.tried.items()}
        self.came: dict[tuple[str, str], bool] = {}  # source and raw column: whether for sure
        self.read: set[tuple[str, str]] = set()  # those of them that a personal feature is read from
        self._marked()
        self.held: dict[str, list[tuple[Configuration, dict[str, bool]]]] = {}
        for name in self.known:
            self._hold(name)
        self.held = {name: self.held[name] for name in self.known}

    def raw(self) -> Iterator[Holding]:
        """Where personal data came in."""
        totals = self.site.ledger.totals({source for source, _ in self.came})
        for (source, column), sure in sorted(self.came.items()):
            first = self.site.ledger.get_artifacts(type="RawFile", context=("Source", source), limit=1)
            of_it = [name for name, dataset in self.site.config.datasets.items() if source in dataset.source_names]
            if first:
                holding = Holding(
                    "RawColumn",
                    f"{source}.{column}",
                    _word(sure),
                    "a personal feature is made from it" if column != ALL else "a personal feature is made from some",
                    first=datetime.fromisoformat(str(first[0].properties["landed_at"])),
                    last=totals[source].landed_at,
                    files=totals[source].files,
                    place=f"raw/{source}",
                )
                yield self._owned(holding, of_it)

    def imported(self) -> Iterator[Holding]:
        """The columns of imported tags that the lake which exported them said are personal."""
        for tag in (tag for tag in tagged.every(self.site) if tag.manifest):
            manifest = tagged.manifest(self.site, tag)
            (step,) = self.site.ledger.get_executions(ids=[tag.execution], only=()) or (None,)
            for dataset, name in ((d, name) for d, one in manifest.datasets.items() for name in one.personal):
                holding = Holding(
                    "Import",
                    f"{tag.name}:{dataset}.{name}",
                    "yes",
                    f"lake '{manifest.lake}', which exported it, said so",
                    first=None if step is None else step.created_at,
                    place=f"raw/{tagged.IMPORT}",
                )
                yield self._owned(holding, [dataset])

    def columns(self) -> Iterator[Holding]:
        """Every column of every dataset that holds personal data."""
        for dataset, held in self.held.items():
            for name in dict.fromkeys(name for _, of_one in held for name in of_one):
                having = [(one, of_one) for one, of_one in held if name in of_one]
                span = overall((one.span for one, _ in having), 0)
                holding = Holding(
                    "Column",
                    f"{dataset}.{name}",
                    _word(any(of_one[name] for _, of_one in having)),
                    self._why(having[-1][0], name, having[-1][1]),
                    versions=str(span),
                    first=self._moment(dataset, span.first),
                    last=span.until,
                    place=f"curated/{dataset}",
                )
                yield self._owned(holding, [dataset])

    def quarantines(self) -> Iterator[Holding]:
        """The rows that datasets with personal data rejected, which keep what the file said."""
        for dataset in self.pasts:
            if not self._rejects(dataset):
                continue
            made = self.site.ledger.get_artifacts(type="QuarantineVersion", context=("Dataset", dataset))
            moments = [artifact.created_at for artifact in made if artifact.created_at is not None]
            if made:
                rows = sum(n for artifact in made if isinstance(n := artifact.properties["rows"], int))
                holding = Holding(
                    "Quarantine",
                    dataset,
                    "yes",
                    f"{rows:,} rejected rows, each with all its fields",
                    first=min(moments, default=None),
                    last=max(moments, default=None),
                    place=f"quarantine/{dataset}",
                )
                yield self._owned(holding, [dataset])

    def statistics(self) -> Iterator[Holding]:
        """What was measured of personal columns before they were known to be: later on, no value of theirs is kept."""
        for dataset, held in self.held.items():
            of_execution = {execution: of_one for one, of_one in held for execution in one.executions}
            told: dict[str, bool] = {}
            moments = []
            for kept in measured.kept(self.site.ledger, dataset) if held else ():
                known = of_execution.get(kept.execution, {})
                if open_ := {name: sure for name, sure in known.items() if name not in kept.personal}:
                    told |= {name: sure or told.get(name, False) for name, sure in open_.items()}
                    moments += [kept.kept_at] if kept.kept_at is not None else []
            if told:
                holding = Holding(
                    "Statistics",
                    dataset,
                    _word(any(told.values())),
                    f"{', '.join(told)}: measured before known as personal, with the most frequent values",
                    first=min(moments, default=None),
                    last=max(moments, default=None),
                    place=f"{measured.ZONE}/{dataset}",
                )
                yield self._owned(holding, [dataset])

    def artifacts(self) -> Iterator[Holding]:
        """What users' steps made from any of it; also past steps and artifacts that were deleted on the way."""
        ledger = self.site.ledger
        steps = {gone.id: Execution(gone.type, id=gone.id) for gone in ledger.tombstones(kind=TypeKind.EXECUTION)}
        others = " AND ".join(f"type != '{kind}'" for kind in ("Land", *MAKERS))
        steps |= {e.id: e for e in ledger.get_executions(filter_query=others)}
        reads = [(event.given, event.id) for event in ledger.neighbours("execution", steps, READS)]
        makes = [(event.given, event.id) for event in ledger.neighbours("execution", steps, MAKES)]
        kept = {a.id: a for a in ledger.get_artifacts(ids={artifact for _, artifact in (*reads, *makes)})}
        deleted = ledger.tombstones(kind=TypeKind.ARTIFACT)
        found = kept | {gone.id: Artifact(gone.type, gone.name, gone.uri, id=gone.id) for gone in deleted}
        inputs, outputs, readers = _grouped(reads), _grouped(makes), _grouped((a, step) for step, a in reads)
        levels: dict[int, _Level] = {}
        why: dict[int, str] = {}
        todo = dict.fromkeys(steps)
        while todo:  # what is made may be read by other steps
            identity = next(iter(todo))
            del todo[identity]
            step, told = steps[identity], declared(steps[identity])
            read = [(found[a], levels.get(a) or self._taken(found[a], told)) for a in inputs.get(identity, ())]
            given = [(artifact, level) for artifact, level in read if level is not None]
            names = ", ".join(dict.fromkeys(references.written(artifact) for artifact, _ in given))
            for made in outputs.get(identity, ()) if given else ():
                level = _all([*(level for _, level in given), *([levels[made]] if made in levels else [])])
                if levels.get(made) != level:
                    levels[made] = level
                    why.setdefault(made, f"made by {step.type} execution:{identity} from {names}")
                    todo |= dict.fromkeys(readers.get(made, ()))
        for made in (made for made in levels if made in kept):
            artifact, level = kept[made], levels[made]
            holding = Holding(
                artifact.type,
                references.written(artifact),
                _word(level.sure),
                why[made],
                first=artifact.created_at,
                last=artifact.created_at,
                place=artifact.uri,
            )
            yield self._owned(holding, level.datasets)

    def gaps(self) -> Iterator[str]:
        """What a record needs and the configuration does not say."""
        for name, held in self.held.items():
            dataset = self.site.config.datasets.get(name)
            if held and dataset is not None:
                missing = [key for key in ("owner", "purpose") if not getattr(dataset, key)]
                if missing:
                    yield f"{name}: no {' and no '.join(missing)} is given; set {' and '.join(missing)} in its YAML"

    def _marked(self) -> None:
        """Find the columns of raw files that marked features are made from."""
        for one in (one for every in self.tried.values() for one in every):
            for name in (name for name, marked in self._marks(one).items() if marked and name in one.made):
                made = one.made[name]
                if one.inputs:
                    continue  # what it is made from says so itself
                keys = {(one.source, column) for column in made.inputs}
                self.came |= {key: self.came.get(key, False) or made.certain for key in keys}
                if made.raw:
                    self.came[one.source, made.raw] = True
                    self.read.add((one.source, made.raw))
        every = self.site.config.datasets.values()
        for dataset in (one.of(source) for one in every for source in one.source_names):
            # It may be landed, and not curated yet.
            back = {feature: column for column, feature in dataset.rename.items()}
            for name, marked in dataset.schema.marks.items():
                if marked and not dataset.schema.features[name].computed:
                    self.came[dataset.source, back.get(name, name)] = True
                    self.read.add((dataset.source, back.get(name, name)))

    def _marks(self, one: Configuration) -> dict[str, bool]:
        """What features say of being personal: in the configuration now, else in the one they were made under."""
        now = self.site.config.datasets.get(one.dataset)
        return {**dict.fromkeys(one.marked, True), **(now.schema.marks if now is not None else {})}

    def _hold(self, name: str) -> None:
        """Find the personal columns of a dataset; of those that it is made from first."""
        if name not in self.held:
            self.held[name] = []
            known = self.known.get(name, [])
            for one in dict.fromkeys(i for configuration in known for i in configuration.inputs):
                self._hold(one)
            self.held[name] = [(one, of_one) for one in known if (of_one := self._of(one))]

    def _of(self, one: Configuration) -> dict[str, bool]:
        """The personal columns that a configuration made, and whether they are for sure."""
        if one.inputs:
            inputs = self._inherited(one)
            sure = columns.personal(one.made, self._marks(one), [name for name, known in inputs.items() if known])
            perhaps = columns.personal(one.made, self._marks(one), inputs)
            return {name: sure.get(name, False) for name in perhaps}
        raw = {column for source, column in self.read if source == one.source}
        return columns.personal(one.made, self._marks(one), raw)

    def _inherited(self, one: Configuration) -> dict[str, bool]:
        """The personal columns of the datasets that another was made from, ``aviation/flights.tailnum``."""
        found: dict[str, bool] = {}
        for name in one.inputs:
            for column, sure in (item for _, of_one in self.held.get(name, ()) for item in of_one.items()):
                found[f"{name}.{column}"] = sure or found.get(f"{name}.{column}", False)
        return found

    def _rejects(self, dataset: str) -> bool:
        """Whether what a dataset rejects is personal: a rejected row keeps all that the file said."""
        if any(one.inputs and self._of(one) for one in self.tried.get(dataset, ())):
            return True
        sources = {one.source for one in self.tried.get(dataset, ())}
        return any(source in sources for source, _ in self.came)

    def _why(self, one: Configuration, name: str, held: Mapping[str, bool]) -> str:
        made = one.find(name)
        if self._marks(one).get(name) or made is None:
            return "it is marked personal"
        if made.how in ("identity", "rename"):
            return f"it is {one.source}.{made.inputs[0]}"
        if not made.certain:
            return f"{made.by} may make it from any column"
        read = [feature for feature in made.reads if feature != name and feature in held]
        read = read or [column for column in made.inputs if column in self._inherited(one)]
        return f"it is made from {', '.join(read or made.inputs)}"

    def _taken(self, artifact: Artifact, told: Mapping[str, list[str]]) -> _Level | None:
        """Whether what a step read of the lake's own is personal."""
        p = artifact.properties
        dataset = str(p.get("dataset", ""))
        if artifact.type == "RawFile":
            source = str(p["source"])
            of_it = {name for name, known in self.known.items() if any(one.source == source for one in known)}
            return _Level(sure=False, datasets=frozenset(of_it)) if any(s == source for s, _ in self.came) else None
        if artifact.type == "QuarantineVersion":
            return _Level(sure=True, datasets=frozenset({dataset})) if self._rejects(dataset) else None
        if artifact.type != "TableVersion":
            return None
        read, version = told.get(str(artifact.name)), p["version"]
        assert isinstance(version, int)  # noqa: S101  # the ledger keeps INT properties as int
        holding = [of_one for one, of_one in self.held.get(dataset, []) if one.span.at(version)]
        sure = [sure for of_one in holding for name, sure in of_one.items() if read is None or name in read]
        return _Level(sure=read is not None and any(sure), datasets=frozenset({dataset})) if sure else None

    def _moment(self, dataset: str, version: int) -> datetime | None:
        made = self.site.ledger.get_artifacts(type="TableVersion", names=[f"{dataset}@{version}"])
        return datetime.fromisoformat(str(made[0].properties["committed_at"])) if made else None

    def _owned(self, holding: Holding, datasets: Iterable[str]) -> Holding:
        """With who answers for it and what for."""
        known = [self.site.config.datasets[name] for name in sorted(datasets) if name in self.site.config.datasets]
        return replace(
            holding,
            owner="; ".join(dict.fromkeys(dataset.owner for dataset in known if dataset.owner)),
            purpose="; ".join(dict.fromkeys(dataset.purpose for dataset in known if dataset.purpose)),
        )


@dataclass(frozen=True, slots=True)
class _Level:
    """That something is personal, for sure or perhaps, and which datasets that is of."""

    sure: bool
    datasets: frozenset[str]


def _all(levels: Iterable[_Level]) -> _Level:
    every = list(levels)
    return _Level(any(level.sure for level in every), frozenset().union(*(level.datasets for level in every)))


def _grouped(pairs: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for one, other in pairs:
        found.setdefault(one, []).append(other)
    return found


def _word(sure: bool) -> str:
    return "yes" if sure else "perhaps"
