"""A lake of so many keys with five features each, restated once for a tenth of them: ``online_lake.py FOLDER KEYS``."""

import sys
from pathlib import Path

import numpy as np
import polars as pl

from lakehouse import Lake

project, keys = Path(sys.argv[1]), int(sys.argv[2])
configs = project / "configs"
for name, text in {
    "lakehouse.yaml": "root: data",
    "sources/rows.yaml": "type: files\npath: incoming/*.parquet\nformat: parquet",
    "features/served.yaml": "entity: [k]\nfeatures: ['bench/rows:*']\nttl: 36500d",
    "datasets/bench/rows.yaml": """\
source: rows
keys: [k]
event_time: t
validation: {statistics: false, history: off}
schema:
  features:
    k: {type: int}
    t: {type: datetime}
    a: {type: float, presence: optional}
    b: {type: float}
    c: {type: float}
    n: {type: int}
    w: {type: string}
""",
}.items():
    file = configs / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
(project / "incoming").mkdir()
chance = np.random.default_rng(7)
for day, some in enumerate((chance.permutation(keys), chance.choice(keys, keys // 10, replace=False))):
    moments = np.datetime64("2026-01-01", "us") + (np.arange(some.size) + day * 10**8).astype("timedelta64[us]")
    pl.DataFrame(
        {
            "k": some * 7,
            "t": pl.Series(moments).dt.replace_time_zone("UTC"),
            "a": np.where(chance.random(some.size) < 0.05, None, chance.normal(size=some.size)).tolist(),
            "b": chance.normal(size=some.size),
            "c": chance.normal(size=some.size),
            "n": chance.integers(0, 1000, some.size),
            "w": chance.choice(["alpha", "beta", "gamma"], some.size),
        },
        schema_overrides={"a": pl.Float64},
    ).write_parquet(project / "incoming" / f"{day}.parquet")
with Lake(configs) as lake:
    lake.land("rows")
    done = lake.curate("bench/rows")
    if done.curated != keys + keys // 10:
        sys.exit(f"{done.curated} rows were curated")
