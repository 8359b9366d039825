"""Our store: ``store_ours.py batch|execution|uri|lineage DATABASE [HOPS]``; the last line is JSON with ``seconds``."""

import json
import sys
import time

from lakehouse.metadata import Ledger
from lakehouse.metadata.subgraph import Bounds
from lakehouse.records import Artifact, Context, DataType, EventType, Execution, ExecutionState, Type, TypeKind

verb, database = sys.argv[1:3]
with Ledger(f"sqlite:///{database}") as ledger:
    match verb:
        case "batch":
            kinds = {"a": DataType.INT, "b": DataType.DOUBLE, "c": DataType.STRING, "d": DataType.STRING}
            ledger.store.put_type(Type(TypeKind.ARTIFACT, "Data", kinds))
            artifacts = [
                Artifact("Data", uri=f"/data/{n}", properties={"a": n, "b": n / 7, "c": f"text {n}", "d": f"more {n}"})
                for n in range(10_000)
            ]
            started = time.perf_counter()
            ledger.store.put_artifacts(artifacts)
            seconds = time.perf_counter() - started
        case "execution":
            about = [Context("Run", "nightly")]
            started = time.process_time()
            for n in range(200):
                step = Execution("Step", state=ExecutionState.COMPLETE, properties={"rows": n, "code": "abc"})
                links = [
                    (Artifact("Data", uri=f"/in/{n}", properties={"a": n}), EventType.INPUT),
                    (Artifact("Data", uri=f"/out/{n}", properties={"a": n}), EventType.OUTPUT),
                ]
                ledger.put_execution(step, links, about)
            seconds = time.process_time() - started
        case "uri":
            ledger.get_artifacts(uris=["/data/1"])
            started = time.perf_counter()
            for n in range(0, 100_000, 100):
                assert len(ledger.get_artifacts(uris=[f"/data/{n}"])) == 1
            seconds = time.perf_counter() - started
        case "lineage":
            bounds = Bounds(direction="upstream", hops=int(sys.argv[3]))
            ledger.store.get_lineage_subgraph("id = 99000", bounds=bounds)
            started = time.perf_counter()
            for n in range(20):
                found = ledger.store.get_lineage_subgraph(f"id = {99_001 + n}", bounds=bounds)
            seconds = (time.perf_counter() - started) / 20
            parts = ("artifacts", "executions", "contexts", "events", "associations", "attributions")
            print(*(f"{len(getattr(found, part))} {part}" for part in parts))
print(json.dumps({"seconds": seconds}))
