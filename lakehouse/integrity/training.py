"""Training sets: every file there and as it was saved, and no other file among them."""

from __future__ import annotations

from collections.abc import Iterator

from lakehouse.errors import NotFoundError, StorageError
from lakehouse.integrity.problems import BACKUP, Problem, problem
from lakehouse.site import Site

__all__ = ["check_training_sets"]


def check_training_sets(site: Site) -> Iterator[Problem]:
    """Hold the saved training sets against the ledger, both ways."""
    zone = site.storage.path("features")
    # Before the ledger is asked: one that is saved beside this check is recorded after it is there.
    files = {entry.relative_to(site.storage.root).as_posix() for entry in zone.rglob("*") if entry.is_file()}
    told = {a.uri: str(a.properties["sha256"]) for a in site.ledger.get_artifacts(type="TrainingSet")}
    for uri, sha256 in told.items():
        try:
            if site.storage.digest(uri) != sha256:
                yield problem(uri, "no longer matches its hash: its bytes were changed", BACKUP)
        except NotFoundError:
            yield problem(uri, "is gone", BACKUP)
        except StorageError as error:
            yield problem(uri, str(error), BACKUP)
    for uri in sorted(files - told.keys()):
        message = "is no training set that was recorded: its process died, or runs still"
        yield problem(uri, message, "remove it, unless one is saved just now", harmless=True)
