"""The command line. Every command is the `Lake` method of the same name; `serve` is the scheduler's.

Exit status: 0 all good; 1 something failed or was refused; 2 usage or configuration; 130 and 143 stopped
by SIGINT and SIGTERM. Results go to stdout, progress and errors to stderr.
"""

from __future__ import annotations

import click

from lakehouse.cli import catalog, jobs, look, online, upkeep, versions, work
from lakehouse.cli.features import features
from lakehouse.cli.schema import schema
from lakehouse.cli.session import Doors, shared_options, speak_safely
from lakehouse.cli.sql import sql
from lakehouse.cli.statistics import statistics
from lakehouse.cli.validate import validate

__all__ = ["main", "program"]

_HELP = """A mini data warehouse. It lands raw files untouched, curates them into tables that only
grow, and traces every row to its bytes.

\b
Examples:
  lakehouse init mylake                       start a lake
  lakehouse run nightly                       land and curate all a job's datasets
  lakehouse read aviation/flights --limit 5   look at the rows
  lakehouse trace aviation/flights 3f2a:17    where a row came from

Exit status: 0 all good; 1 something failed or was refused; 2 usage or configuration; 130, 143 stopped."""


@click.group(cls=Doors, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lakehouse", message="lakehouse %(version)s")
def program() -> None:
    """Everything is in the commands."""


program.params[:0] = shared_options(hidden=False)
for command in (
    *work.COMMANDS,
    *jobs.COMMANDS,
    *catalog.COMMANDS,
    *look.COMMANDS,
    *online.COMMANDS,
    *upkeep.COMMANDS,
    *versions.COMMANDS,
    features,
    schema,
    sql,
    statistics,
    validate,
):
    program.add_command(command)
program.sections = (
    ("Set up", ("init", "check")),
    ("Work", ("land", "curate", "run", "serve")),
    ("Jobs", ("status", "runs", "pause", "resume", "cancel", "backfill")),
    ("Look", ("list", "show", "search", "read", "sql", "changes", "history")),
    ("Evolve", ("schema", "statistics", "validate")),
    ("Versions", ("tag", "diff", "pin", "export", "import")),
    ("Keep", ("optimize", "rebuild")),
    ("Features", ("features", "publish", "online")),
    ("Explain", ("lineage", "trace", "quarantine")),
)


def main() -> None:
    """The ``lakehouse`` script."""
    speak_safely()
    program(prog_name="lakehouse")
