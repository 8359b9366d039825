"""A spine and rows to join it with: ``features_data.py FOLDER ROWS KEYS SPINE``.

Ten Parquet files of rows in the order they were recorded, each of three days; in each but the first 2 % correct a row
of the one before, at the same time. 5 % of ``f`` are missing. ``created`` is when a file was recorded.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl

folder, count, keys, asked = Path(sys.argv[1]), *map(int, sys.argv[2:])
FILES, DAY = 10, 86_400_000_000
START = 1_767_225_600_000_000  # 2026-01-01 in microseconds
random = np.random.default_rng(20260101)


def moments(name, values):
    """Microseconds as UTC."""
    return pl.Series(name, values).cast(pl.Datetime("us", "UTC"))


before = None
for number in range(FILES):
    size = count // FILES
    key = random.integers(0, keys, size)
    time = START + random.integers(0, 3 * DAY, size) + number * 3 * DAY
    if before is not None:
        corrected = random.choice(size, size // 50, replace=False)
        key[: size // 50], time[: size // 50] = before[0][corrected], before[1][corrected]
    before = key, time
    order = random.permutation(size)
    pl.DataFrame(
        {
            "k": key[order],
            "event_timestamp": moments("", time[order]),
            "created": moments("", np.full(size, START + (number + 1) * 3 * DAY)),
            "f": pl.Series(np.where(random.random(size) < 0.05, np.nan, random.normal(size=size))).fill_nan(None),
            "g": random.integers(0, 1000, size),
            "h": random.normal(size=size),
        }
    ).write_parquet(folder / f"rows-{number}.parquet", row_group_size=100_000)
pl.DataFrame(
    {
        "k": random.integers(0, keys, asked),
        "event_timestamp": moments("", START + random.integers(0, 30 * DAY, asked)),
        "label": random.integers(0, 2, asked),
    }
).write_parquet(folder / "spine.parquet")
