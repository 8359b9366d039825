"""Lands, curates, or both: ``lake.py land,curate CONFIGS SOURCE DATASET``."""

import json
import sys
import time

from lakehouse import Lake

verbs, configs, source, dataset = sys.argv[1:]
started = time.perf_counter()
with Lake(configs) as lake:
    for verb in verbs.split(","):
        done = lake.land(source) if verb == "land" else lake.curate(dataset)
        if trouble := [note for note in done.notes if note.kind in {"failed", "refused"}]:
            sys.exit(str(trouble[:5]))
print(json.dumps({"seconds": time.perf_counter() - started}))
