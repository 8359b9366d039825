"""An anomaly with all that a proposal is made from."""

from __future__ import annotations

from dataclasses import dataclass

from lakehouse.schema import Feature, Schema
from lakehouse.validation.anomalies import Anomaly
from lakehouse.validation.inference.changes import Change, plain
from lakehouse.validation.statistics import FeatureStatistics, Statistics

__all__ = ["Case"]


@dataclass(frozen=True)
class Case:
    """An anomaly with all that a proposal is made from.

    Attributes:
        schema: as changed so far.
        statistics: of the data that is to pass.
        environment: the data's.
        anomaly: what is to be settled.
    """

    schema: Schema
    statistics: Statistics
    environment: str | None
    anomaly: Anomaly

    @property
    def path(self) -> str:
        """The feature's dotted path; "" is the schema itself."""
        return self.anomaly.path

    @property
    def feature(self) -> Feature | None:
        """The schema's at that path; None where it has none."""
        return self.schema.feature(self.path)

    @property
    def one(self) -> FeatureStatistics | None:
        """The statistics at that path; None where they have none."""
        return self.statistics.features.get(self.path)

    @property
    def personal(self) -> bool:
        """Whether no value may be shown."""
        return any(said is not None and said.personal for said in (self.feature, self.one))

    def change(self, key: str, after: object, reason: str) -> Change:
        """A change of this feature."""
        before = plain(self.schema, self.path, key)
        return Change(self.path, key, before, after, reason, self.anomaly.kind)
