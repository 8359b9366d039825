"""The current state of a keyed dataset: out of all its rows, and out of the one that is kept; ours and bare polars.

states.py make FOLDER ROWS KEYS     a lake with one dataset of states, its state kept
states.py rows FOLDER               our state, out of all rows
states.py bare FOLDER               the best bare query for it, over the same files
states.py kept FOLDER               our state, out of the kept one
states.py file FOLDER               polars reads the kept file
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import polars as pl

from lakehouse import Lake

_NAME = "bench/states"
_CONFIGS = {
    "lakehouse": "root: data",
    "sources/states": "type: files\npath: incoming/*\nformat: {type: parquet}",
    f"datasets/{_NAME}": """
source: states
history: changes
keys: [key]
event_time: at
validation: {statistics: false}
schema:
  features:
    key: {type: int}
    at: {type: datetime}
    value: {type: float}
    text: {type: string}
""",
}


def main() -> None:
    """Carry one of the verbs out."""
    verb, folder = sys.argv[1], Path(sys.argv[2]).absolute()
    if verb == "make":
        _make(folder, int(sys.argv[3]), int(sys.argv[4]))
        return
    cache = next((folder / "data/cache").rglob("*.parquet"), None)
    assert cache is not None
    match verb:
        case "rows":
            aside = folder / "aside"
            (folder / "data/cache").rename(aside)
            try:
                found = _read(folder)
            finally:
                aside.rename(folder / "data/cache")
        case "kept":
            found = _read(folder)
        case "bare":
            rows = pl.scan_parquet(sorted((folder / f"data/curated/{_NAME}").glob("*.parquet")))
            newest = rows.group_by("key").agg(pl.col("_valid_from").max())
            found = rows.join(newest, on=["key", "_valid_from"], how="semi").collect(engine="streaming")
        case _:
            found = pl.scan_parquet(cache).collect(engine="streaming")
    print(found.height)


def _read(folder: Path) -> pl.DataFrame:
    with Lake(folder / "configs") as lake:
        return lake.read(_NAME)


def _make(folder: Path, rows: int, keys: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in _CONFIGS.items():
        file = folder / f"configs/{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text.strip()}\n", "utf-8")
    (folder / "incoming").mkdir()
    number = pl.int_range(rows, eager=True)
    pl.DataFrame(
        {
            "key": number.shuffle(seed=1) % keys,
            "at": (number.shuffle(seed=2) * 1_000_000).cast(pl.Datetime("us", "UTC")),
            "value": number.cast(pl.Float64) / 7,
            "text": (number % 1000).cast(pl.String),
        }
    ).write_parquet(folder / "incoming/states.parquet")
    with Lake(folder / "configs") as lake:
        lake.land("states")
        lake.curate(_NAME)


main()
