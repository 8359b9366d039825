"""Feature sets: features of several datasets that a model is trained and served with, under one name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, NamedTuple

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lakehouse.units import Duration

__all__ = ["FeatureName", "FeatureSet", "feature_name"]

_FORM = re.compile(r"([^\s:/]+/[^\s:/]+):(\*|[^\s:*]+)(?:\s+as\s+(\S+))?")


class FeatureName(NamedTuple):
    """A feature as it is named: ``aviation/weather:temp``, ``aviation/weather:temp as dest_temp``.

    Attributes:
        dataset: ``subject/dataset``.
        feature: the column of the dataset; ``*`` is all but its keys and its event time.
        column: the column that it becomes; "" where it is not said: its own name.
    """

    dataset: str
    feature: str
    column: str = ""


def feature_name(text: str) -> FeatureName:
    """Read a feature's name.

    Raises:
        ValueError: it has another form.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None or (match[2] == "*" and match[3]):
        raise ValueError(
            f"'{text}' is no feature; write subject/dataset:feature, such as aviation/weather:temp, "
            "'aviation/weather:temp as dest_temp' or aviation/weather:*"
        )
    return FeatureName(match[1], match[2], match[3] or "")


def _named(text: str) -> str:
    feature_name(text)
    return text


class FeatureSet(BaseModel):
    """One file of ``features/``.

    Attributes:
        name: the file's name.
        entity: the features that together name what the values are of: the keys of its datasets, without their
            event times.
        features: as `feature_name` reads them, in the order of the columns.
        ttl: how old a value may be, of all datasets or by dataset; an older one counts as missing. None, and zero, is
            any age.
        as_known: a training row sees only what the lake had recorded by its time.
        labels: words to find it by.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str
    entity: tuple[str, ...] = Field(min_length=1)
    features: tuple[Annotated[str, AfterValidator(_named)], ...] = Field(min_length=1)
    ttl: Duration | dict[str, Duration] | None = None
    as_known: bool = False
    description: str = ""
    owner: str = ""
    labels: tuple[str, ...] = ()

    @pydantic.model_validator(mode="after")
    def _names_each_once(self) -> FeatureSet:
        for what, named in (("entity", self.entity), ("features", self.features)):
            if twice := next((name for name in named if named.count(name) > 1), None):
                raise ValueError(f"{what}: '{twice}' stands there twice")
        return self

    @property
    def names(self) -> tuple[FeatureName, ...]:
        """The features, read."""
        return tuple(map(feature_name, self.features))

    @property
    def datasets(self) -> Mapping[str, tuple[str, ...]]:
        """What is taken of each dataset: its features, or ``*``."""
        found: dict[str, list[str]] = {}
        for name in self.names:
            found.setdefault(name.dataset, []).append(name.feature)
        return {dataset: tuple(features) for dataset, features in found.items()}

    def ttl_of(self, dataset: str) -> timedelta | None:
        """How old a value of a dataset may be; None is any age."""
        ttl = self.ttl.get(dataset) if isinstance(self.ttl, dict) else self.ttl
        return ttl or None
