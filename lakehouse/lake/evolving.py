"""What data are like, and what they should be: schemas, statistics, anomalies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from lakehouse import curation, evolution, scaffold
from lakehouse.lake.opened import Opened
from lakehouse.validation.anomalies import Anomalies
from lakehouse.validation.statistics import Statistics

__all__ = ["Evolving"]


class Evolving(Opened):
    """What data are like, and what they should be: schemas, statistics, anomalies."""

    def statistics(  # noqa: PLR0913  # by keyword only
        self,
        dataset: str,
        *,
        version: int | None = None,
        as_of: datetime | str | None = None,
        slices: Sequence[str] = (),
        weight: str | None = None,
        batch: bool = False,
    ) -> Statistics:
        """What a dataset's rows are like: counts, missing values, distributions of every feature.

        Its curations measured them and kept that; the past is not read again, but for slices and weights.

        Args:
            dataset: the dataset.
            version: as it was at this version; None for the newest.
            as_of: as it was at this moment.
            slices: features for whose every value the rows are measured by themselves too.
            weight: the feature that says how much a row counts.
            batch: only the rows that the version's own curation appended.

        Raises:
            NotFoundError: no such dataset, version or feature, or no version yet.
            StorageError: rows that must be read cannot be.
        """
        return evolution.statistics(
            self._site, dataset, version=version, as_of=as_of, slices=slices, weight=weight, batch=batch
        )

    def validate(  # noqa: PLR0913  # by keyword only
        self,
        dataset: str,
        *,
        version: int | None = None,
        environment: str | None = None,
        previous: evolution.Against | None = None,
        serving: evolution.Against | None = None,
        file: str | Path | None = None,
        source: str | None = None,
    ) -> Anomalies:
        """What is odd about the rows that a version's curation appended, or about a file before it is landed.

        They are held against the dataset's schema as it is now, the batch before and the dataset's own past.
        Nothing is recorded; of a file nothing is landed.

        Args:
            dataset: the dataset.
            version: the version; None for the newest.
            environment: of the schema; None for the one the dataset's configuration names.
            previous: what drift is measured against in place of the batch before: a version's batch by its
                number or as ``aviation/flights@3``, another dataset's newest batch, a local file, or statistics.
            serving: what skew is measured against, likewise.
            file: a local file of the dataset's source, judged in place of a version.
            source: of a dataset with several, the one as whose file it is read.

        Raises:
            NotFoundError: no such dataset, version, environment, source or file, or no version yet.
            ConfigError: a file, and none of several sources.
            FormatError: a file cannot be read, or a curation would refuse it.
        """
        return evolution.validate(
            self._site,
            dataset,
            version=version,
            environment=environment,
            previous=previous,
            serving=serving,
            file=file,
            source=source,
            rehearse=curation.rehearse,
        )

    @property
    def schema(self) -> evolution.Schemas:
        """The schemas of datasets: ``lake.schema.infer``, ``update``, ``show``, ``diff`` and ``history``."""
        return evolution.Schemas(self._site, curation.rehearse, scaffold.rows_of)
