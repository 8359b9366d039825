"""Measures the lake against what it could at best be, and against dlt, and prints one table of ratios.

Every ratio is of two programs run in turns in this one run, so that a slow or busy machine slows both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from cases import CASES as LAKE
from cases import Row, Setting
from commits import CASES as COMMITS
from databases import CASES as DATABASES
from features import CASES as FEATURES
from inputs import Inputs
from ledger import CASES as LEDGER
from online import CASES as ONLINE
from rules import CASES as RULES
from shapes import CASES as SHAPES
from snapshots import CASES as SNAPSHOTS
from states import CASES as STATES
from tfdv import CASES as TFDV

HERE = Path(__file__).parent
CASES = {
    **LAKE,
    **COMMITS,
    **DATABASES,
    **FEATURES,
    **LEDGER,
    **ONLINE,
    **RULES,
    **SHAPES,
    **SNAPSHOTS,
    **STATES,
    **TFDV,
}
_SETTLE = 10  # seconds in which a file system still feels a large deletion


def main() -> int:
    """Run the chosen cases; 1 when one of them could not be run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns, no SF5")
    parser.add_argument("--only", action="append", choices=[*CASES], help="a case; may be given again")
    parser.add_argument("--turns", type=int, help="turns of each comparison (5, quick: 2)")
    parser.add_argument("--work", type=Path, default=HERE / ".work", help="needs 30 GB (quick: 10 GB); kept")
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the large file")
    parser.add_argument("--landings", type=int, default=50_000, help="in the large ledger, of 20 raw files each")
    chosen = parser.parse_args()
    work = chosen.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    os.environ["PYTHONPATH"] = str(HERE.parent)
    count = chosen.turns or (2 if chosen.quick else 5)
    setting = Setting(Inputs(work, chosen.megabytes), count, chosen.quick, chosen.landings)
    print(_machine())
    print(f"\n| {'ours / theirs':64} |   ours | theirs | ratio (min-max)    | aim     |")
    print(f"|{'-' * 66}|{'-' * 8}|{'-' * 8}|{'-' * 20}|{'-' * 9}|")
    rows: list[Row] = []
    failed = False
    for name in chosen.only or CASES:
        if setting.work.exists():
            shutil.rmtree(setting.work, ignore_errors=True)
            time.sleep(_SETTLE)
        try:
            for row in CASES[name](setting):
                rows.append(row)
                print(_line(row), flush=True)
        except (RuntimeError, OSError) as error:
            failed = True
            print(f"{name} could not be measured: {error}", file=sys.stderr)
    text = json.dumps({"machine": _machine(), "rows": [asdict(row) for row in rows]}, indent=1)
    (work / f"results-{time.strftime('%Y%m%dT%H%M%S')}.json").write_text(text, "utf-8")
    return int(failed)


def _line(row: Row) -> str:
    found = row.ratio
    aim = "" if row.aim is None else f"{row.aim:g} {'met' if found.median <= row.aim else 'MISSED'}"
    spread = f"{found.median:.2f} ({found.low:.2f}-{found.high:.2f})"
    ours, theirs = f"{found.ours:.2f} {row.unit}", f"{found.theirs:.2f} {row.unit}"
    return f"| {row.what:64} | {ours:>7} | {theirs:>7} | {spread:18} | {aim:7} |"


def _machine() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("polars", "deltalake", "pyarrow", "sqlalchemy"))
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, load {load:.1f} before, Python {platform.python_version()}, {packages}"


if __name__ == "__main__":
    raise SystemExit(main())
