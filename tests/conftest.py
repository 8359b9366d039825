"""A small project of its own for every test: configuration, a folder where files arrive, a clock that only ticks."""

import dataclasses
import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from servers import ledger_url, servers  # noqa: F401  # fixtures

from lakehouse import Lake

SOURCE = """
    type: files
    path: incoming/*
    format: {type: csv, null_values: [NA]}
"""
DATASET = """
    source: flights
    keys: [carrier, flight, origin, time_hour]
    event_time: time_hour
    schema:
      features:
        time_hour: {type: datetime}
        carrier: {type: string}
        flight: {type: int}
        origin: {type: string}
        dep_delay: {type: int, presence: optional}
"""


@dataclasses.dataclass
class Clock:
    """Every look at it is a second later."""

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        """The moment, a second after the last."""
        self.now += timedelta(seconds=1)
        return self.now


@dataclasses.dataclass
class Project:
    """A folder with ``configs/`` and ``incoming/``; one source, one dataset, one job."""

    folder: Path
    clock: Clock = dataclasses.field(default_factory=Clock)

    flights = "aviation/flights"
    header = "time_hour,carrier,flight,origin,dep_delay\n"
    morning = header + "2013-01-01T05:00:00Z,UA,1545,EWR,2\n2013-01-01T06:00:00Z,AA,1141,JFK,-1\n"
    noon = header + "2013-01-01T12:00:00Z,B6,725,JFK,NA\n2013-01-01T13:00:00Z,DL,461,LGA,-6\n"

    def __post_init__(self):
        (self.folder / "incoming").mkdir(parents=True)
        self.configure("lakehouse", "root: data")
        self.configure("sources/flights", SOURCE)
        self.configure(f"datasets/{self.flights}", DATASET)
        self.configure("jobs/nightly", f"datasets: [{self.flights}]")

    def configure(self, name, text):
        """Write one configuration file."""
        path = self.folder / "configs" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).strip() + "\n", "utf-8")

    def change(self, name, old, new):
        """Replace some text of a configuration file; all of nothing is its end."""
        path = self.folder / "configs" / f"{name}.yaml"
        before = path.read_text("utf-8")
        assert old in before
        path.write_text(before.replace(old, new) if old else before + new + "\n", "utf-8")

    def deliver(self, name, content):
        """Let a file arrive, written beside and renamed into place as a careful sender does."""
        path, beside = self.folder / "incoming" / name, self.folder / "sending"
        beside.write_bytes(content if isinstance(content, bytes) else content.encode())
        return beside.replace(path)

    def lake(self):
        """The lake, for a with statement."""
        return Lake(self.folder / "configs", clock=self.clock)

    def run(self):
        """Run the job in a lake of its own; what it did."""
        with self.lake() as lake:
            return lake.run("nightly")

    def read(self, **when):
        """The flights, in the order of their hours."""
        with self.lake() as lake:
            return lake.read(self.flights, **when).sort("time_hour", "flight")

    def quarantine(self):
        """The rejected flights as dicts, in the order of their rows."""
        with self.lake() as lake:
            return lake.quarantine(self.flights).sort("_raw", "_row").collect().to_dicts()

    def start(self, *arguments, **environment):
        """Python in a process of its own, in the project's folder."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "NO_COLOR": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
        )


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def new_project():
    """Makes projects, for tests that need one an example: give it a folder."""
    return Project
