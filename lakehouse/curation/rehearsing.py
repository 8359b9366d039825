"""A curation of one local file as far as its rows go: nothing is landed, recorded or made visible."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lakehouse import measured
from lakehouse.config import Dataset
from lakehouse.curation import measuring
from lakehouse.curation.batch import write
from lakehouse.curation.intakes import intake
from lakehouse.curation.stamping import Stamp
from lakehouse.errors import FormatError
from lakehouse.formats import Raw
from lakehouse.records import printable
from lakehouse.site import Site
from lakehouse.storage import hash_file, refused

__all__ = ["rehearse"]


@contextmanager
def rehearse(site: Site, dataset: Dataset, file: Path, environment: str | None) -> Iterator[measured.Batch]:
    """Read, check and measure a local file by a dataset's schema.

    Args:
        site: the opened lake.
        dataset: whose one source's format, mapping and schema it is read by (`Dataset.of`).
        file: the file.
        environment: the environment of its rows.

    Yields:
        Its rows and what they are like; the rows lie in a folder that is removed at the end.

    Raises:
        FormatError: it cannot be read, or a curation would refuse it as a whole.
        NotFoundError: a code table has no version yet.
        SchemaError: the dataset's function, a derive expression or a code table does not fit it.
        StorageError: the disk refused.
    """
    now = site.clock()
    known = intake(site, dataset, environment)
    with refused(f"reading '{file}'"), tempfile.TemporaryDirectory(prefix="lakehouse-") as folder:
        digest = hash_file(file)
        written = write(
            [Raw(digest, printable(file.name), file.absolute())],
            {digest: file.stat().st_size},
            dataset=dataset,
            reader=known.reader,
            mapping=known.mapping,
            stamp=Stamp(0, now),
            work=Path(folder),
            progress=lambda _: None,
        )
        if written.refused:
            raise FormatError(f"a curation would refuse '{printable(file.name)}': {written.refused[digest]}")
        private = measured.private(dataset, site.config)
        yield measuring.measured_batch(
            dataset, written, private, {digest: file.name}, landed=now.date(), scratch=Path(folder)
        )
