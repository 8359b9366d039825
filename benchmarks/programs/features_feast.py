"""Feast's join of the same files: ``features_feast.py dask|duckdb FOLDER SPINE OUT ROWS``.

FOLDER is for its registry, ROWS a Parquet file. ``dask`` is the store it comes with.
The last line has ``seconds`` of CPU, without imports.
"""

import json
import os
import sys
import time
from datetime import timedelta
from pathlib import Path

os.environ["FEAST_USAGE"] = "False"

store, folder, spine, out, rows = sys.argv[1:]
import pandas as pd  # noqa: E402
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig  # noqa: E402
from feast.types import Float64, Int64  # noqa: E402
from feast.value_type import ValueType  # noqa: E402

started = time.process_time()
Path(folder).mkdir(parents=True, exist_ok=True)
config = RepoConfig(
    project="bench",
    provider="local",
    registry=str(Path(folder) / "registry.db"),
    offline_store={"type": store},
    online_store={"type": "sqlite", "path": str(Path(folder) / "online.db")},
    entity_key_serialization_version=3,
)
feast = FeatureStore(config=config)
key = Entity(name="k", join_keys=["k"], value_type=ValueType.INT64)
source = FileSource(path=rows, timestamp_field="event_timestamp", created_timestamp_column="created")
view = FeatureView(
    name="rows",
    entities=[key],
    ttl=timedelta(days=3),
    schema=[
        Field(name="k", dtype=Int64),
        *(Field(name=n, dtype=t) for n, t in (("f", Float64), ("g", Int64), ("h", Float64))),
    ],
    source=source,
)
feast.apply([key, view])
made = feast.get_historical_features(pd.read_parquet(spine), ["rows:f", "rows:g", "rows:h"]).to_df()
seconds = time.process_time() - started
made.to_parquet(out)
print(json.dumps({"seconds": seconds}))
