"""A curation of one local file as far as its rows go: nothing is landed, recorded or made visible."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lakehouse import measured
from lakehouse.config import Dataset, curate_function
from lakehouse.curation import measuring
from lakehouse.curation.batch import Stamp, write
from lakehouse.errors import FormatError
from lakehouse.formats import Raw
from lakehouse.records import printable
from lakehouse.site import Site
from lakehouse.storage import hash_file, refused
from lakehouse.validation import Mapping

__all__ = ["mapping_of", "rehearse"]


def mapping_of(site: Site, dataset: Dataset, environment: str | None) -> Mapping:
    """How a dataset's rows are made from a file's columns, as rows of an environment."""
    return Mapping(
        dataset.schema,
        site.config.source(dataset.source).format.null_values,
        dict(dataset.rename),
        dict(dataset.derive),
        curate_function(dataset, site.config.project),
        tuple(dataset.partition_by),
        environment=environment,
    )


@contextmanager
def rehearse(site: Site, dataset: Dataset, file: Path, environment: str | None) -> Iterator[measured.Batch]:
    """Read, check and measure a local file by a dataset's schema.

    Args:
        site: the opened lake.
        dataset: whose source's format, mapping and schema it is read by.
        file: the file.
        environment: the environment of its rows.

    Yields:
        Its rows and what they are like; the rows lie in a folder that is removed at the end.

    Raises:
        FormatError: it cannot be read, or a curation would refuse it as a whole.
        SchemaError: the dataset's function or a derive expression does not fit it.
        StorageError: the disk refused.
    """
    now = site.clock()
    with refused(f"reading '{file}'"), tempfile.TemporaryDirectory(prefix="lakehouse-") as folder:
        digest = hash_file(file)
        written = write(
            [Raw(digest, printable(file.name), file.absolute())],
            {digest: file.stat().st_size},
            dataset=dataset,
            reader=site.config.source(dataset.source).format,
            mapping=mapping_of(site, dataset, environment),
            stamp=Stamp(0, now),
            work=Path(folder),
            progress=lambda _: None,
        )
        if written.refused:
            raise FormatError(f"a curation would refuse '{printable(file.name)}': {written.refused[digest]}")
        private = measured.private(dataset, site.config.project)
        yield measuring.measured_batch(
            dataset, written, private, {digest: file.name}, landed=now.date(), scratch=Path(folder)
        )
