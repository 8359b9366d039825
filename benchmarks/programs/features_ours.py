"""The point-in-time join of a lake: ``features_ours.py CONFIGS SPINE OUT``.

The last line has ``seconds``: of CPU, from opening the lake to the joined frame.
"""

import json
import sys
import time

import polars as pl

from lakehouse.lake import Lake

configs, spine, out = sys.argv[1:]
started = time.process_time()
with Lake(configs) as lake:
    made = lake.features(pl.read_parquet(spine), "bench/rows:*", ttl="3d")
seconds = time.process_time() - started
made.write_parquet(out)
print(json.dumps({"seconds": seconds}))
