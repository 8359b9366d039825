"""The starting set: a small lake that runs at once, each file saying what it is for."""

from __future__ import annotations

__all__ = ["GITIGNORE", "STARTING_SET"]

GITIGNORE = """\
# The lake's own data; the samples it starts from are kept.
/data/*
!/data/samples/
__pycache__/
"""

STARTING_SET: dict[str, str] = {
    "configs/lakehouse.yaml": """\
# The lake. Relative paths start at the folder that holds configs/.
root: data                  # raw/, curated/, quarantine/ and the ledger metadata.db go here
timezone: UTC               # of moments given without an offset
""",
    "configs/sources/readings.yaml": """\
# A source says where raw files come from. They are copied in untouched, whatever they hold.
description: What the sensors measured.
type: files                 # or http, with url: https://...
path: data/samples/readings*.csv
format: {type: csv, null_values: [NA]}
""",
    "configs/datasets/sensors/readings.yaml": """\
# A dataset is one curated table. Its name is its path: sensors/readings.
description: One measurement of one sensor.
source: readings
keys: [sensor, measured_at]
event_time: measured_at
max_rejected: 25%           # above it a batch is refused as a whole; below, bad rows go to quarantine
rename: {temp: celsius}
curate: jobs.sensors.readings.curate
schema:
  features:
    sensor: {type: string, domain: {regex: "[a-z]+-[0-9]+"}}
    measured_at: {type: datetime}
    celsius: {type: float, presence: optional, domain: {min: -90, max: 60}, unit: degrees Celsius}
    fahrenheit: {type: float, presence: optional, computed: true, unit: degrees Fahrenheit}
""",
    "configs/jobs/nightly.yaml": """\
# A job refreshes datasets together: `lakehouse run nightly` now, `lakehouse serve` by its schedule.
datasets: [sensors/readings]
schedule: "0 2 * * *"       # minute, hour, day, month, weekday
timezone: UTC
retries: {attempts: 3, backoff: 30s}
""",
    "jobs/sensors/readings.py": '''\
"""Curation of ``sensors/readings``. Leave `curate:` out of the YAML where no Python is needed."""

import polars as pl


def curate(readings: pl.LazyFrame) -> pl.LazyFrame:
    """Add what the files do not say; every value made here is a feature marked `computed: true`.

    The rows come typed and renamed. The function must be pure: it reads nothing else, keeps every
    row and column, and makes each value from its own row, so that it can be run again at any time.
    """
    return readings.with_columns(fahrenheit=pl.col("celsius") * 1.8 + 32)
''',
    "data/samples/readings.csv": """\
sensor,measured_at,temp
roof-1,2026-01-01T06:00:00Z,-3.5
roof-1,2026-01-01T07:00:00Z,-3.1
roof-1,2026-01-01T08:00:00Z,NA
roof-1,2026-01-01T09:00:00Z,-1.8
cellar-2,2026-01-01T06:00:00Z,11.2
cellar-2,2026-01-01T07:00:00Z,11.2
cellar-2,2026-01-01T08:00:00Z,112.0
cellar-2,2026-01-01T09:00:00Z,11.3
""",
}
"""Path below the project's folder to text. One reading is out of its range, for the quarantine to show."""
