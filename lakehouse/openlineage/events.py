"""The ledger's records as OpenLineage run events. An event says what the record says, so it can be made again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import openlineage.client
from openlineage.client import event_v2, facet_v2
from openlineage.client.serde import Serde

from lakehouse.config import Config, Dataset
from lakehouse.openlineage import naming
from lakehouse.openlineage.datasets import PRODUCER, VERSION, Datasets, documented, facet
from lakehouse.openlineage.gathering import Step
from lakehouse.openlineage.source_code import file_of, repository
from lakehouse.records import MAKERS, Context, ExecutionState
from lakehouse.site import INTERRUPTED

__all__ = ["Events"]

_STOPPED = (INTERRUPTED, "KeyboardInterrupt", "Stopped", "TimedOut", "SystemExit")
"""How the error of something begins that was ended from outside: it aborted, and did not fail."""

_NAMES = ("runId", "eventTime", "_schemaURL", "schemaURL", "_producer", "producer")
"""Keys whose values are made here and hold nothing of the configuration's."""


class Events:
    """Makes the events of a lake.

    Args:
        config: the configuration; what it says of a source or dataset goes with them.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._namespace = config.openlineage.namespace if config.openlineage else "default"
        self._datasets = Datasets(config)

    def of_step(self, step: Step, under_way: Sequence[Context]) -> Iterator[dict[str, Any]]:
        """An execution that began or ended, as its record says.

        Where it is settled by another run than the one it began in, that one was cut off too.

        Args:
            step: the execution.
            under_way: the run and job that is going on.
        """
        read, made = self._datasets.of(step)
        record = step.record
        at = record.updated_at if step.ended else record.created_at
        assert record.created_at is not None  # noqa: S101  # the ledger stamps every record
        assert at is not None  # noqa: S101  # as above
        error = str(record.properties.get("error", ""))
        run = event_v2.Run(
            naming.of_execution(self._config.root, record.id, record.created_at),
            self._run_facets(step.run, error if step.ended else "", str(record.properties.get("traceback", ""))),
        )
        yield self._event(at, _transition(record.state, error), run, self._job(step), read, made)
        if step.ended and step.run is not None and step.run not in {c.name for c in under_way if c.type == "Run"}:
            yield self.of_run(step.run, at, ExecutionState.CANCELED, INTERRUPTED)

    def of_run(self, name: str, at: datetime, state: ExecutionState, error: str) -> dict[str, Any]:
        """A run of a job that began or ended.

        Args:
            name: the run's, ``<job>/<moment>-<chance>``.
            at: when.
            state: RUNNING, or how it ended.
            error: why it did not succeed, safe to tell.
        """
        failed = state not in (ExecutionState.RUNNING, ExecutionState.COMPLETE)
        told = error or "files were refused or could not be read; the events of its steps say which"
        run = event_v2.Run(naming.of_run(self._config.root, name), self._run_facets(None, told if failed else "", ""))
        job = name.rpartition("/")[0]
        known = self._config.jobs.get(job)
        job_facets = documented(known.description, "", job=True) if known else {}
        called = event_v2.Job(self._namespace, f"run.{job}", {**job_facets, "jobType": _kind("JOB")})
        return self._event(at, _transition(state, error), run, called, [], [])

    def _event(  # noqa: PLR0913, PLR0917  # an event's parts
        self,
        at: datetime,
        transition: event_v2.RunState,
        run: event_v2.Run,
        job: event_v2.Job,
        read: list[event_v2.InputDataset],
        made: list[event_v2.OutputDataset],
    ) -> dict[str, Any]:
        event = event_v2.RunEvent(
            eventType=transition,
            eventTime=at.isoformat(),
            run=run,
            job=job,
            inputs=read,
            outputs=made,
            producer=PRODUCER,
        )
        safe: dict[str, Any] = _redacted(Serde.to_dict(event), self._config.redact)
        return safe

    def _run_facets(self, parent: str | None, error: str, traceback: str) -> dict[str, Any]:
        found: dict[str, Any] = {
            "processing_engine": facet(
                facet_v2.processing_engine_run.ProcessingEngineRunFacet,
                name="lakehouse",
                version=VERSION,
                openlineageAdapterVersion=openlineage.client.__version__,
            )
        }
        if parent is not None:
            runs = facet_v2.parent_run
            run, job = naming.of_run(self._config.root, parent), f"run.{parent.rpartition('/')[0]}"
            found["parent"] = facet(
                runs.ParentRunFacet, run=runs.Run(runId=run), job=runs.Job(namespace=self._namespace, name=job)
            )
        if error:
            kind = facet_v2.error_message_run.ErrorMessageRunFacet
            found["errorMessage"] = facet(
                kind, message=error, programmingLanguage="python", stackTrace=traceback or None
            )
        return found

    def _job(self, step: Step) -> event_v2.Job:
        """The job an execution is a run of: the command that does it, or a user's own step by its type."""
        record, about = step.record, step.about
        found: dict[str, Any] = {"jobType": _kind(record.type.upper())}
        source, dataset = self._config.sources.get(about), self._config.datasets.get(about)
        if record.type == "Land" and source is not None:
            found |= documented(source.description, "", job=True)
        if record.type in MAKERS and dataset is not None:
            found |= documented(dataset.description, dataset.owner, job=True)
        found |= self._location(step, dataset)
        name = f"{record.type.lower()}.{about}" if record.type in ("Land", *MAKERS) else f"execution.{record.type}"
        return event_v2.Job(self._namespace, name, found)

    def _location(self, step: Step, dataset: Dataset | None) -> dict[str, Any]:
        """Where the code of a step lies, at the commit the ledger has recorded; nothing outside a repository."""
        known = step.record.properties
        file, folder = Path(str(known.get("script", ""))), self._config.project
        version = str(known.get("script_version" if "script" in known else "code_version", ""))
        if "script" in known:
            folder = file.parent
        else:
            file = file_of(dataset, folder, self._config.folder)
        inside = repository(folder) if version not in ("", "none", "unknown") and file.exists() else None
        if inside is None:
            return {}
        location = facet(
            facet_v2.source_code_location_job.SourceCodeLocationJobFacet,
            type="git",
            url=inside.address(folder, file, version.removesuffix("-dirty")),
            repoUrl=inside.url or None,
            path=inside.path(folder, file),
            version=version,
        )
        return {"sourceCodeLocation": location}


def _kind(name: str) -> Any:
    kind = facet_v2.job_type_job.JobTypeJobFacet
    return facet(kind, processingType="BATCH", integration="LAKEHOUSE", jobType=name)


def _transition(state: ExecutionState, error: str) -> event_v2.RunState:
    match state:
        case ExecutionState.COMPLETE | ExecutionState.CACHED:
            return event_v2.RunState.COMPLETE
        case ExecutionState.CANCELED:
            return event_v2.RunState.ABORT
        case ExecutionState.FAILED:
            return event_v2.RunState.ABORT if error.startswith(_STOPPED) else event_v2.RunState.FAIL
        case _:
            return event_v2.RunState.START


def _redacted(value: Any, redact: Callable[[str], str], key: str = "") -> Any:
    """The event without any secret of the configuration's, wherever one may have come in."""
    if isinstance(value, str):
        return value if key in _NAMES else redact(value)
    if isinstance(value, list):
        return [_redacted(item, redact) for item in value]
    if isinstance(value, dict):
        return {name: _redacted(item, redact, name) for name, item in value.items()}
    return value
