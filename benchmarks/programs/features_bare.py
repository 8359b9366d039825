"""The same join in bare polars: ``features_bare.py last|max|twice|asof SPINE OUT TABLE...``.

The last line has ``seconds`` of CPU, without imports. Ties are broken by ``_recorded_at`` alone, as that is enough for
this data.
"""

import json
import sys
import time
from datetime import timedelta

import polars as pl

form, spine_file, out, *tables = sys.argv[1:]
started = time.process_time()
TTL, FEATURES = timedelta(days=3), ["f", "g", "h"]
spine = pl.read_parquet(spine_file).with_row_index("row")
rows = pl.scan_parquet(tables).select("k", *FEATURES, time="event_timestamp", seen="_recorded_at")
near = spine.lazy().select("row", "k", at="event_timestamp")
pairs = rows.join(near, on="k").filter(pl.col("time") <= pl.col("at"), pl.col("time") >= pl.col("at") - TTL)
match form:
    case "last":
        found = pairs.sort("time", "seen").group_by("row").agg(pl.col(FEATURES).last())
    case "max":
        found = pairs.group_by("row").agg(pl.col(FEATURES).max_by(pl.struct("time", "seen")))
    case "twice":
        newest = pairs.group_by("row").agg(pl.col("time").max())
        ties = pairs.join(newest, on=["row", "time"]).sort("seen")
        found = ties.group_by("row").agg(pl.col(FEATURES).last())
    case "asof":
        newest = near.sort("at").join_asof(
            rows.select("k", "time", found="time").sort("time"),
            left_on="at",
            right_on="time",
            by="k",
            tolerance=TTL,
            check_sortedness=False,
        )
        ties = rows.join(newest.select("row", "k", time="found"), on=["k", "time"]).sort("seen")
        found = ties.group_by("row").agg(pl.col(FEATURES).last())
made = spine.lazy().join(found, on="row", how="left").sort("row").drop("row").collect(engine="streaming")
seconds = time.process_time() - started
made.write_parquet(out)
print(json.dumps({"seconds": seconds}))
