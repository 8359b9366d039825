"""Publish, or look up so many times and tell the median in ms: ``online_ours.py FOLDER publish|one-frame|…``."""

import json
import random
import statistics
import sys
import time
from pathlib import Path

from lakehouse import Lake

project, mode = Path(sys.argv[1]), sys.argv[2]
chance = random.Random(7)  # noqa: S311  # chance, not secrecy
with Lake(project / "configs") as lake:
    if mode == "publish":
        begun = time.process_time()
        done = lake.publish("served", again=True)
        taken = time.process_time() - begun
        if done.keys != 1_000_000:
            sys.exit(f"{done.keys} keys were written")
    else:
        number, form = mode.split("-")
        into = "polars" if form == "frame" else "dicts"
        times = []
        for turn in range(600):
            keys = [{"k": chance.randrange(1_000_000) * 7} for _ in range(1 if number == "one" else 100)]
            begun = time.perf_counter()
            found = lake.online("served", keys, into=into)
            if turn >= 100:
                times.append(time.perf_counter() - begun)
            if len(found) != len(keys):
                sys.exit("a key has no answer")
        taken = statistics.median(times) * 1000
print(json.dumps({"seconds": taken}))
