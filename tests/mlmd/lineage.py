"""Compares our walks of lineage with ML Metadata's own client, on random graphs in the very same SQLite files.

    .venv-mlmd/bin/python tests/mlmd/lineage.py          # 30 graphs, 40 questions each
    .venv-mlmd/bin/python tests/mlmd/lineage.py 5 7      # 5 graphs, from seed 7

Needs ML Metadata 1.17.1, the last release with ``filter_query``.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import ml_metadata
from ml_metadata.proto import metadata_store_pb2 as pb
from sqlalchemy import select

sys.path[:0] = [str(Path(__file__).parents[2])]

from lakehouse.metadata import tables  # noqa: E402
from lakehouse.metadata.database import Database  # noqa: E402
from lakehouse.metadata.filtering import condition  # noqa: E402
from lakehouse.metadata.subgraph import Bounds, Ending, walk  # noqa: E402

Options = pb.LineageSubgraphQueryOptions
DIRECTIONS = {"upstream": Options.UPSTREAM, "downstream": Options.DOWNSTREAM, "both": Options.BIDIRECTIONAL}


def build(path: Path, chance: random.Random) -> ml_metadata.MetadataStore:
    """A store with a random graph: any kind of event between any two, cycles and several events between a pair."""
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(path)
    store = ml_metadata.MetadataStore(config)
    things = [store.put_artifact_type(pb.ArtifactType(name=name)) for name in ("Data", "Model")]
    steps = [store.put_execution_type(pb.ExecutionType(name=name)) for name in ("Clean", "Train")]
    count = chance.randint(2, 14)
    artifacts = store.put_artifacts(
        [pb.Artifact(type_id=chance.choice(things), name=f"a{n}", uri=chance.choice("xyz")) for n in range(count)]
    )
    executions = store.put_executions(
        [pb.Execution(type_id=chance.choice(steps), name=f"e{n}") for n in range(chance.randint(1, 10))]
    )
    pairs = {
        (chance.choice(artifacts), chance.choice(executions), chance.randint(1, 7))
        for _ in range(chance.randint(0, 3 * count))
    }
    store.put_events([pb.Event(artifact_id=a, execution_id=e, type=t) for a, e, t in sorted(pairs)])
    return store


def ending(filter_query: str | None, *, included: bool) -> Ending | None:
    """Ours of theirs."""
    return None if filter_query is None else Ending(filter_query, included)


def compare(store: ml_metadata.MetadataStore, database: Database, chance: random.Random) -> bool:
    """Ask both one random question; whether there was anything to start from."""
    things = ["id < 4", "uri = 'x'", "name LIKE 'a1%'", "type = 'Model'", "events_0.type = OUTPUT", "id > 0"]
    steps = ["id = 1", "type = 'Train'", "name != 'e0'", "id > 3", "id > 0"]
    from_artifacts = chance.random() < 0.5
    start = chance.choice(things if from_artifacts else steps)
    direction = chance.choice(sorted(DIRECTIONS))
    hops = chance.choice([None, 0, 1, 2, 3, 4, 10, 200])
    ends = [chance.choice([None, None, *queries]) for queries in (things, steps)]
    included = [chance.random() < 0.5 for _ in ends]

    options = Options(direction=DIRECTIONS[direction])
    (options.starting_artifacts if from_artifacts else options.starting_executions).filter_query = start
    if hops is not None:
        options.max_num_hops = hops
    for theirs, query, all_of_them in zip(
        (options.ending_artifacts, options.ending_executions), ends, included, strict=True
    ):
        if query is not None:
            theirs.filter_query, theirs.include_ending_nodes = query, all_of_them
    bounds = Bounds(
        direction=direction,
        hops=hops,
        ending_artifacts=ending(ends[0], included=included[0]),
        ending_executions=ending(ends[1], included=included[1]),
    )
    table = tables.artifact if from_artifacts else tables.execution
    with database.reading() as connection:
        ids = connection.scalars(select(table.c.id).where(condition(connection, table, start))).all()
        found = walk(connection, ids if from_artifacts else (), () if from_artifacts else ids, bounds)
    try:
        graph = store.get_lineage_subgraph(options, ["artifacts", "executions", "events"])
    except ml_metadata.errors.NotFoundError:
        if ids:
            raise
        return False
    ours = (
        sorted(found.artifacts),
        sorted(found.executions),
        sorted((row.artifact_id, row.execution_id, row.type) for row in found.events),
    )
    theirs = (
        sorted(one.id for one in graph.artifacts),
        sorted(one.id for one in graph.executions),
        sorted((one.artifact_id, one.execution_id, one.type) for one in graph.events),
    )
    if ours != theirs:
        sys.exit(f"They differ.\n{options}\nours   {ours}\ntheirs {theirs}")
    return True


def main(graphs: int = 30, seed: int = 1) -> None:
    """Build, ask, compare."""
    asked = 0
    for number in range(seed, seed + graphs):
        chance = random.Random(number)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "metadata.db"
            store = build(path, chance)
            database = Database(f"sqlite:///{path}")
            asked += sum(compare(store, database, chance) for _ in range(40))
            database.close()
    print(f"{asked} lineages of {graphs} graphs are as ML Metadata's.")  # noqa: T201  # the outcome


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
