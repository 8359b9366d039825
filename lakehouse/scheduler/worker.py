"""The process that runs of jobs happen in, one after the other: ``python -m lakehouse.scheduler.worker``.

On its standard input comes the configuration, pickled, as the scheduler has read it, then a line a run; on its standard
output goes a line a run. What users' code prints goes to standard error. It ends with its scheduler, after its run.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any, TextIO

from lakehouse.errors import LakehouseError, Stopped, TimedOut
from lakehouse.lake import Lake
from lakehouse.stopping import catch_signals, time_limit

__all__ = ["main"]


def main() -> int:
    """Run what comes in until nothing comes any more; the exit status."""
    catch_signals()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        config = pickle.load(sys.stdin.buffer)  # noqa: S301  # our own scheduler wrote it
        with Lake(config) as lake:
            while line := sys.stdin.buffer.readline():
                if not _answered(lake, json.loads(line), answers):
                    break
    except Stopped as stopped:
        return 128 + stopped.number
    except LakehouseError as error:  # the lake does not open
        _tell(answers, {"status": 1, "errors": [_said(error)]})
        return 1
    return 0


def _answered(lake: Lake, asked: dict[str, Any], answers: TextIO) -> bool:
    """Do one run and tell of it; whether this process may do another."""
    said: dict[str, Any] = {"status": 1}
    fit = False
    try:
        with time_limit(lake.config.job(asked["job"]).timeout, f"job '{asked['job']}'"):
            ran = lake.run_queued(asked["run"])
        said = {"status": 0 if ran.ok else 1, "told": dataclasses.asdict(ran)}
        fit = True
    except LakehouseError as error:
        said["errors"] = [_said(error)]
        fit = True
    except TimedOut as late:
        said |= {"errors": [{"type": "TimedOut", "message": str(late)}], "timed_out": True}
    except Stopped as stopped:
        said["status"] = 128 + stopped.number
    again = fit and not _holds_users_code(lake.config.project)
    _tell(answers, {**said, "again": again})
    return again


def _holds_users_code(project: Path) -> bool:
    """Whether code of the project's was loaded: the next run is to have it as it is then."""
    inside = os.path.join(project, "")  # noqa: PTH118  # a prefix
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120  # of paths as Python has them
    files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
    return any(file.startswith(inside) and not file.startswith((own, sys.prefix)) for file in files)


def _said(error: LakehouseError) -> dict[str, str]:
    return {"type": type(error).__name__, "message": str(error)}


def _tell(answers: TextIO, said: dict[str, Any]) -> None:
    answers.write(json.dumps(said, default=str) + "\n")
    answers.flush()


if __name__ == "__main__":
    raise SystemExit(main())
