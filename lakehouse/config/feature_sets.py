"""What must hold between a feature set and its datasets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from lakehouse.config.features import FeatureName, FeatureSet
from lakehouse.config.models import Dataset
from lakehouse.config.problems import Path
from lakehouse.errors import nearest

__all__ = ["feature_problems"]


def feature_problems(
    feature_set: FeatureSet, datasets: Mapping[str, Dataset], named: Collection[str]
) -> Iterator[tuple[Path, str]]:
    """Every name in a feature set that names nothing, or two things: its key path, and what is wrong.

    Args:
        feature_set: the feature set.
        datasets: those that could be read.
        named: all that have a file.
    """
    taken = dict.fromkeys(feature_set.entity, "the entity")
    for number, wanted in enumerate(feature_set.names):
        if wanted.dataset not in named:
            yield ("features", number), f"there is no dataset '{wanted.dataset}'.{nearest(wanted.dataset, named)}"
        elif wanted.dataset in datasets:
            for text in _misnamed(wanted, datasets[wanted.dataset], taken):
                yield ("features", number), text
    if all(name in datasets for name in feature_set.datasets):
        yield from _entity(feature_set, [datasets[name] for name in feature_set.datasets])
    if isinstance(feature_set.ttl, dict):
        for name in feature_set.ttl:
            if name not in feature_set.datasets:
                yield ("ttl", name), f"nothing is taken of '{name}'.{nearest(name, feature_set.datasets)}"


def _misnamed(wanted: FeatureName, dataset: Dataset, taken: dict[str, str]) -> Iterator[str]:
    """What is wrong with a feature of a dataset; the columns it becomes are ``taken`` from then on."""
    known = dataset.schema.features
    if wanted.feature != "*" and wanted.feature not in known:
        yield f"{dataset.name} has no feature '{wanted.feature}'.{nearest(wanted.feature, known)}"
        return
    every = [name for name in known if name not in dataset.keys and name != dataset.event_time]
    for name in every if wanted.feature == "*" else [wanted.feature]:
        column = wanted.column or name
        if column in taken:
            yield f"'{column}' is a column of {taken[column]} too; write '{dataset.name}:{name} as OTHER'"
        taken[column] = f"{dataset.name}:{name}"


def _entity(feature_set: FeatureSet, datasets: Collection[Dataset]) -> Iterator[tuple[Path, str]]:
    """Whether the entity is what the datasets have for keys."""
    found: set[str] = set()
    kinds: dict[str, Dataset] = {}
    for dataset in datasets:
        keys = [key for key in dataset.keys if key != dataset.event_time]
        found.update(keys)
        if not keys:
            yield ("features",), f"{dataset.name} has no keys but its event time: nothing can be looked up in it"
        for key in keys:
            if key not in feature_set.entity:
                yield ("entity",), f"'{key}' is missing: it is a key of {dataset.name}"
            if key in dataset.schema.features:
                first = kinds.setdefault(key, dataset)
                ours, other = dataset.schema.features[key].kind, first.schema.features[key].kind
                if ours != other:
                    yield (
                        ("entity",),
                        f"'{key}' is {other} in {first.name} and {ours} in {dataset.name}: they never meet",
                    )
    for number, key in enumerate(feature_set.entity):
        if key not in found:
            yield ("entity", number), f"'{key}' is a key of none of its datasets.{nearest(key, found)}"
