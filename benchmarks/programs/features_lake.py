"""A lake of the rows, each file landed and curated by itself: ``features_lake.py FOLDER FILE...``."""

import shutil
import sys
from pathlib import Path

from lakehouse import Lake

project, files = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
configs = project / "configs"
for name, text in {
    "lakehouse.yaml": "root: data",
    "sources/rows.yaml": "type: files\npath: incoming/*.parquet\nformat: parquet",
    "datasets/bench/rows.yaml": """\
source: rows
keys: [k, event_timestamp]
event_time: event_timestamp
validation: {statistics: false, history: off}
schema:
  features:
    k: {type: int}
    event_timestamp: {type: datetime}
    f: {type: float, presence: optional}
    g: {type: int}
    h: {type: float}
""",
}.items():
    file = configs / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
(project / "incoming").mkdir()
with Lake(configs) as lake:
    for file in files:
        shutil.copy(file, project / "incoming")
        lake.land("rows")
        done = lake.curate("bench/rows")
        if done.curated != done.read or not done.read:
            sys.exit(f"{done.curated} of {done.read} rows were curated")
