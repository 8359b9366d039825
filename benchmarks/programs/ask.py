"""Asks a lake with a large ledger: ``ask.py CONFIGS SOURCE DATASET TURNS``; the last line is medians in seconds."""

import json
import statistics
import sys
import time

from lakehouse import Lake, timeline
from lakehouse.curation.pending import look, newest_looks
from lakehouse.records import Artifact, Context, EventType, Execution, ExecutionState, Sighting, raw_id, utc_now

configs, source, dataset, turns = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])


def measured(ask):
    """The median of some turns, after one that is not counted."""
    found = []
    for _ in range(turns + 1):
        started = time.perf_counter()
        ask()
        found.append(time.perf_counter() - started)
    return statistics.median(found[1:])


def pending(lake):
    """What a curation asks before it reads anything."""
    ledger = lake._site.ledger
    ledger.get_executions(type="Curate", state=ExecutionState.RUNNING, context=("Dataset", dataset))
    past = timeline.read(ledger, dataset)
    since = newest_looks(past, [source])[source]
    assert since is not None, "the made ledger has looks"
    return look(ledger, source, past, fingerprint=since.fingerprint, since=since)


def arrive(lake, count):
    """Record that so many new files were landed."""
    now = utc_now()
    hashes = [f"{number:064x}" for number in range(1 << 40, (1 << 40) + count)]
    raws = [
        Artifact(
            "RawFile", name=raw_id(source, sha), external_id=raw_id(source, sha), uri=f"raw/{source}/{sha[:2]}/{sha}/x",
            properties={"source": source, "sha256": sha, "name": "x", "size": 4, "landed_at": now.isoformat()},
        )
        for sha in hashes
    ]  # fmt: skip
    seen = [Sighting(source, f"incoming/new/{sha}", 4, "", sha, now) for sha in hashes]
    done, about = Execution("Land", state=ExecutionState.COMPLETE), [Context("Source", source)]
    lake._site.ledger.put_execution(done, [(raw, EventType.OUTPUT) for raw in raws], about, sightings=seen)


with Lake(configs) as lake:
    ledger = lake._site.ledger
    newest = lake.show(source, "source").raw[0].sha256
    made = timeline.read(ledger, dataset).last
    moment = timeline.read(ledger, dataset).at(version=made.version // 2).committed_at
    found = {
        "list": measured(lake.list),
        "show: a source": measured(lambda: lake.show(source, "source")),
        "show: a dataset": measured(lambda: lake.show(dataset)),
        "lineage: a dataset": measured(lambda: str(lake.lineage(dataset, limit=10))),
        "lineage: a raw file": measured(lambda: str(lake.lineage(newest, limit=10))),
        "lineage: an execution": measured(lambda: str(lake.lineage(f"execution:{made.execution}", limit=10))),
        "the version of a moment": measured(lambda: timeline.read(ledger, dataset).at(as_of=moment)),
        "rows a version leaves out": measured(lambda: timeline.read(ledger, dataset).hidden(made)),
        "pending: nothing new": measured(lambda: pending(lake)),
    }
    assert not pending(lake).files
    arrive(lake, 1000)
    assert len(pending(lake).files) == 1000
    found["pending: 1,000 new files"] = measured(lambda: pending(lake))
print(json.dumps(found))
