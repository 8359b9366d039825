"""ML Metadata: ``store_mlmd.py make|batch|execution|uri|lineage DATABASE [HOPS]``; the last line has ``seconds``."""

import json
import sys
import time

from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

verb, database = sys.argv[1:3]
config = pb.ConnectionConfig()
config.sqlite.filename_uri = database
config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
store = metadata_store.MetadataStore(config)


def registered(put, message, **properties):
    """A type's id."""
    return put(message(name=properties.pop("name"), properties=properties), can_add_fields=True, can_omit_fields=True)


if verb in {"batch", "execution"}:
    kinds = {"a": pb.INT, "b": pb.DOUBLE, "c": pb.STRING, "d": pb.STRING}
    data = registered(store.put_artifact_type, pb.ArtifactType, name="Data", **kinds)
match verb:
    case "make":
        seconds = 0.0  # opening has made it
    case "batch":
        artifacts = []
        for n in range(10_000):
            artifact = pb.Artifact(type_id=data, uri=f"/data/{n}", state=pb.Artifact.LIVE)
            artifact.properties["a"].int_value = n
            artifact.properties["b"].double_value = n / 7
            artifact.properties["c"].string_value = f"text {n}"
            artifact.properties["d"].string_value = f"more {n}"
            artifacts.append(artifact)
        started = time.perf_counter()
        store.put_artifacts(artifacts)
        seconds = time.perf_counter() - started
    case "execution":
        step = registered(store.put_execution_type, pb.ExecutionType, name="Step", rows=pb.INT, code=pb.STRING)
        run = store.put_context_type(pb.ContextType(name="Run"))
        started = time.process_time()
        for n in range(200):
            execution = pb.Execution(type_id=step, last_known_state=pb.Execution.COMPLETE)
            execution.properties["rows"].int_value = n
            execution.properties["code"].string_value = "abc"
            pairs = []
            for place, kind in (("in", pb.Event.INPUT), ("out", pb.Event.OUTPUT)):
                artifact = pb.Artifact(type_id=data, uri=f"/{place}/{n}", state=pb.Artifact.LIVE)
                artifact.properties["a"].int_value = n
                pairs.append((artifact, pb.Event(type=kind)))
            about = [pb.Context(type_id=run, name="nightly")]
            store.put_execution(execution, pairs, about, reuse_context_if_already_exist=True)
        seconds = time.process_time() - started
    case "uri":
        started = time.perf_counter()
        for n in range(0, 100_000, 100):
            assert len(store.get_artifacts_by_uri(f"/data/{n}")) == 1
        seconds = time.perf_counter() - started
    case "lineage":

        def walk(artifact):
            """What an artifact came of."""
            options = pb.LineageSubgraphQueryOptions(
                starting_artifacts=pb.LineageSubgraphQueryOptions.StartingNodes(filter_query=f"id = {artifact}"),
                max_num_hops=int(sys.argv[3]),
                direction=pb.LineageSubgraphQueryOptions.Direction.UPSTREAM,
            )
            return store.get_lineage_subgraph(options)

        walk(99_000)
        started = time.perf_counter()
        for n in range(20):
            found = walk(99_001 + n)
        seconds = (time.perf_counter() - started) / 20
        parts = ("artifacts", "executions", "contexts", "events", "associations", "attributions")
        print(*(f"{len(getattr(found, part))} {part}" for part in parts))
print(json.dumps({"seconds": seconds}))
