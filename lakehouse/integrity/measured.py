"""What curations measured: every file there and as it was written, and no other file among them."""

from __future__ import annotations

from collections.abc import Iterator

from lakehouse import measured
from lakehouse.errors import NotFoundError, StorageError
from lakehouse.integrity.problems import BACKUP, Problem, problem
from lakehouse.records import Artifact, ExecutionState
from lakehouse.site import Site

__all__ = ["check_measured"]

_STATISTICS = f"{BACKUP}; until then these rows are measured again whenever they are asked for"


def check_measured(site: Site) -> Iterator[Problem]:
    """Hold the kept statistics and anomalies against the ledger, both ways."""
    told: dict[str, tuple[str, str]] = {}  # by uri, the hash and what to do
    for kind, advice in (("Statistics", _STATISTICS), ("Anomalies", BACKUP)):
        for artifact in site.ledger.get_artifacts(type=kind):
            if "sha256" in artifact.properties:
                told |= _files(artifact, advice)
    for uri, (sha256, advice) in told.items():
        try:
            if site.storage.digest(uri) != sha256:
                yield problem(uri, "no longer matches its hash: its bytes were changed", advice)
        except NotFoundError:
            yield problem(uri, "is gone", advice)
        except StorageError as error:
            yield problem(uri, str(error), advice)
    yield from _unrecorded(site, set(told))


def _files(artifact: Artifact, advice: str) -> dict[str, tuple[str, str]]:
    """The files that an artifact tells of."""
    p = artifact.properties
    found = {artifact.uri: (str(p["sha256"]), advice)}
    if "total" in p:
        found[measured.Kept.of(artifact).total_uri] = (str(p["total"]), advice)
    return found


def _unrecorded(site: Site, told: set[str]) -> Iterator[Problem]:
    """Files that no artifact tells of: what a killed curation left, or somebody else's."""
    zone = site.storage.path(measured.ZONE)
    files = {entry.relative_to(site.storage.root).as_posix() for entry in zone.rglob("*") if entry.is_file()}
    unknown = sorted(files - told)
    # Looked up after the files, in this order: a curation beside this check that is no longer running is recorded.
    running = {e.id for e in site.ledger.get_executions(state=ExecutionState.RUNNING, only=())}
    late: set[str] = set()
    for kind in ("Statistics", "Anomalies"):
        for artifact in site.ledger.get_artifacts(type=kind, uris=unknown):
            late |= _files(artifact, BACKUP).keys()
    for uri in unknown:
        if uri in late:
            continue
        execution = measured.execution_of(uri)
        if execution is None:
            yield problem(uri, "is a file that the lake did not put there", "take it out")
        else:
            under_way = execution in running
            message = f"is of a curation that {'is not finished' if under_way else 'never became visible'}"
            advice = "nothing: the next curation finishes or sweeps it" if under_way else "remove it"
            yield problem(uri, message, advice, harmless=True)
