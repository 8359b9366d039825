"""Which features are meant by the names that users write: ``aviation/weather:temp``, ``… as name``, ``…:*``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakehouse.config import Config, Dataset, FeatureSet, feature_name
from lakehouse.errors import ConfigError, NotFoundError, nearest

__all__ = ["Chosen", "chosen", "columns", "entity_keys"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """One feature of a dataset, and the column it becomes."""

    dataset: str
    feature: str
    column: str


def chosen(config: Config, features: FeatureSet | Sequence[str]) -> tuple[Chosen, ...]:
    """The features that names mean, in their order.

    Raises:
        ConfigError: a name has no such form, or two features would have one column.
        NotFoundError: there is no such dataset or feature.
    """
    found: list[Chosen] = []
    for name in features.features if isinstance(features, FeatureSet) else features:
        try:
            wanted = feature_name(name)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        dataset = config.dataset(wanted.dataset)
        known = dataset.schema.features
        if wanted.feature == "*":
            left_out = {*dataset.keys, dataset.event_time}
            found += [Chosen(dataset.name, feature, feature) for feature in known if feature not in left_out]
        elif wanted.feature in known:
            found.append(Chosen(dataset.name, wanted.feature, wanted.column or wanted.feature))
        else:
            raise NotFoundError(
                f"dataset '{dataset.name}' has no feature '{wanted.feature}'.{nearest(wanted.feature, known)}"
            )
    taken: dict[str, Chosen] = {}
    for one in found:
        if taken.setdefault(one.column, one) is not one:
            other = f"{taken[one.column].dataset}:{taken[one.column].feature}"
            raise ConfigError(
                f"{one.dataset}:{one.feature} and {other} would both be the column '{one.column}'; "
                f"write '{one.dataset}:{one.feature} as NAME'"
            )
    return tuple(found)


def columns(config: Config, features: FeatureSet | Sequence[str]) -> dict[str, str]:
    """The column that each feature becomes, by ``subject/dataset:feature``."""
    return {f"{one.dataset}:{one.feature}": one.column for one in chosen(config, features)}


def entity_keys(dataset: Dataset) -> tuple[str, ...]:
    """What a dataset's rows are of: its keys without its event time."""
    return tuple(key for key in dataset.keys if key != dataset.event_time)
