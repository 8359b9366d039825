"""Our client and ML Metadata's, call by call: the same results and the same errors, and each reads the other's file."""

import math
import sqlite3

import ml_metadata
import pytest
from google.protobuf import any_pb2, struct_pb2
from ml_metadata import ListOptions, OrderByField, errors
from ml_metadata.proto import metadata_store_pb2 as pb
from servers import KEPT

from lakehouse.compat.mlmd import MetadataStore
from lakehouse.metadata import Ledger
from lakehouse.records import Artifact, EventType, Execution, Proto, TypeKind
from tests.mlmd.configuration import configuration

TIMES = ("create_time_since_epoch", "last_update_time_since_epoch", "milliseconds_since_epoch")
STRUCT = struct_pb2.Struct()
STRUCT.update({"a": 1, "b": [1, "x", None, {"c": True}]})
LISTED = struct_pb2.Struct()
LISTED.update({"__value__": [1, 2]})
MESSAGE = any_pb2.Any()
MESSAGE.Pack(STRUCT)
VALUES = {
    "int": pb.Value(int_value=-3),
    "long": pb.Value(int_value=2**62),
    "double": pb.Value(double_value=0.5),
    "text": pb.Value(string_value='it\'s \\ "quoted"\n漢字'),
    "empty": pb.Value(string_value=""),
    "struct": pb.Value(struct_value=STRUCT),
    "list": pb.Value(struct_value=LISTED),
    "nothing": pb.Value(struct_value=struct_pb2.Struct()),
    "message": pb.Value(proto_value=MESSAGE),
    "true": pb.Value(bool_value=True),
    "false": pb.Value(bool_value=False),
}
SIMPLE = pb.ArtifactStructType(simple={"name": "A"})
KINDS = {
    "int": pb.INT,
    "text": pb.STRING,
    "double": pb.DOUBLE,
    "struct": pb.STRUCT,
    "message": pb.PROTO,
    "true": pb.BOOLEAN,
}
A, B, C, E = 10, 11, 12, 13  # the ids of the types that every script has
IN, OUT = pb.Event.INPUT, pb.Event.OUTPUT


def opened(client, file):
    """A store on a file."""
    return client(pb.ConnectionConfig(sqlite={"filename_uri": str(file)}))


def plain(result):
    """A result without the moments of this run; a moment that was not set stays so."""
    if isinstance(result, (list, tuple)):
        return [plain(one) for one in result]
    if not hasattr(result, "DESCRIPTOR"):
        return result
    copy = type(result)()
    copy.CopyFrom(result)
    for field in TIMES:
        if field in copy.DESCRIPTOR.fields_by_name and getattr(copy, field) > 10**12:
            setattr(copy, field, 1)
    for field in copy.DESCRIPTOR.fields:
        if field.label == field.LABEL_REPEATED and field.message_type and not field.message_type.GetOptions().map_entry:
            parts = [plain(one) for one in getattr(copy, field.name)]
            copy.ClearField(field.name)
            # A graph's parts come in no order.
            getattr(copy, field.name).extend(sorted(parts, key=str) if isinstance(copy, pb.LineageGraph) else parts)
    return copy


def outcome(store, method, *args):
    """What a call gives, or the class of its error."""
    try:
        result = plain(getattr(store, method)(*args))
    except errors.StatusError as error:
        return type(error)
    if method.endswith("_types") or "_and_types_" in method:
        # ML Metadata leaves these out where it gives types in numbers.
        for one in result if method.endswith("_types") else result[1]:
            one.ClearField("base_type")
            one.ClearField("external_id")
    if "get_events" in method:
        result.sort(key=str)  # theirs come in an order of the index that SQLite takes
    return result


def artifact(**fields):
    return pb.Artifact(type_id=fields.pop("type_id", A), **fields)


def execution(**fields):
    return pb.Execution(type_id=fields.pop("type_id", E), **fields)


def context(**fields):
    return pb.Context(type_id=fields.pop("type_id", C), **fields)


def event(kind=IN, *path, **fields):
    steps = [{"index": step} if isinstance(step, int) else {"key": step} for step in path]
    return pb.Event(type=kind, path={"steps": steps} if path else None, **fields)


def starting(query, **options):
    return pb.LineageSubgraphQueryOptions(starting_artifacts={"filter_query": query}, **options)


BEGINNING = [
    ("put_artifact_type", pb.ArtifactType(name="A", properties=KINDS, description="d", external_id="ta")),
    ("put_artifact_type", pb.ArtifactType(name="B", version="2", base_type=pb.ArtifactType.MODEL)),
    ("put_context_type", pb.ContextType(name="C", properties={"int": pb.INT})),
    (
        "put_execution_type",
        pb.ExecutionType(
            name="E",
            properties={"int": pb.INT},
            input_type={"any": {}},
            output_type={"dict": {"properties": {"q": SIMPLE}, "none_type_not_required": True}},
            base_type=pb.ExecutionType.TRAIN,
        ),
    ),
]

TYPES = [
    *(
        ("put_artifact_type", pb.ArtifactType(name="A", properties=p))
        for p in (KINDS, {}, {"int": 2}, {**KINDS, "n": 1})
    ),
    ("put_artifact_type", pb.ArtifactType()),
    ("put_artifact_type", pb.ArtifactType(name="U", properties={"x": pb.UNKNOWN})),
    ("put_artifact_type", pb.ArtifactType(name="A", properties={"n": pb.INT}), True, True),
    ("put_artifact_type", pb.ArtifactType(name="A", properties={"n": pb.UNKNOWN}), True, True),
    ("put_artifact_type", pb.ArtifactType(name="A", id=99), True, True),
    ("put_artifact_type", pb.ArtifactType(name="A", external_id="tb", description="other"), True, True),
    ("put_artifact_type", pb.ArtifactType(name="A", external_id=""), True, True),
    ("put_artifact_type", pb.ArtifactType(name="other", external_id="tb")),
    ("put_artifact_type", pb.ArtifactType(name="A", version="")),
    ("put_artifact_type", pb.ArtifactType(name="B", version="2", base_type=pb.ArtifactType.DATASET)),
    ("put_artifact_type", pb.ArtifactType(name="B", version="2", base_type=pb.ArtifactType.UNSET)),
    ("put_artifact_type", pb.ArtifactType(name="B", version="2")),
    ("put_artifact_type", pb.ArtifactType(name="B", version="3", base_type=pb.ArtifactType.STATISTICS)),
    ("put_artifact_type", pb.ArtifactType(name="mlmd.Own")),
    ("put_artifact_type", pb.ArtifactType(name="mlmd.Dataset")),
    ("put_execution_type", pb.ExecutionType(name="E", input_type={"none": {}}), True, True),
    ("put_execution_type", pb.ExecutionType(name="A")),
    *((f"get_{kind}_type", name) for kind in ("artifact", "execution", "context") for name in "ABCE"),
    ("get_artifact_type", "B", "2"),
    ("get_artifact_type", "B", "3"),
    ("get_artifact_type", ""),
    *((f"get_{kind}_types",) for kind in ("artifact", "execution", "context")),
    *((f"get_{kind}_types_by_id", [B, A, A, 99, E, C]) for kind in ("artifact", "execution", "context")),
    *(("get_artifact_types_by_external_ids", ids) for ids in (["tb", "no"], ["no"], [], [""])),
    ("get_execution_types_by_external_ids", ["tb"]),
]

RECORDS = [
    ("put_artifacts", [artifact(name="n", uri="u", external_id="x", state=pb.Artifact.LIVE, custom_properties=VALUES)]),
    ("put_artifacts", [artifact(properties={name: VALUES[name] for name in KINDS}, create_time_since_epoch=5)]),
    ("put_artifacts", [artifact(type_id=B), artifact(type_id=B, uri="u")]),
    ("put_artifacts", []),
    ("put_artifacts", [pb.Artifact()]),
    ("put_artifacts", [pb.Artifact(type="A")]),
    *(("put_artifacts", [artifact(type_id=type_id)]) for type_id in (999, E, C)),
    ("put_artifacts", [artifact(properties={"unknown": VALUES["int"]})]),
    ("put_artifacts", [artifact(properties={"int": VALUES["text"]})]),
    ("put_artifacts", [artifact(properties={"text": VALUES["struct"]})]),
    ("put_artifacts", [artifact(properties={"int": pb.Value()})]),
    *(("put_artifacts", [artifact(id=id_)]) for id_ in (0, 999)),
    ("put_artifacts", [artifact(name="n")]),
    ("put_artifacts", [artifact(external_id="x")]),
    ("put_artifacts", [artifact(name=""), artifact(name="")]),
    ("put_artifacts", [artifact(name="atomic"), artifact(type_id=999)]),
    ("get_artifact_by_type_and_name", "A", "atomic"),
    ("put_artifacts", [pb.Artifact(id=1, name="renamed", uri="v")]),
    ("get_artifacts_by_id", [1]),
    ("put_artifacts", [pb.Artifact(id=1, type_id=B)]),
    ("put_artifacts", [pb.Artifact(id=1, uri="one"), pb.Artifact(id=1, uri="two", external_id="x")]),
    ("get_artifacts_by_id", [1]),
    *(
        (
            "put_artifacts",
            [pb.Artifact(id=2, uri="m", custom_properties=VALUES, properties={"int": VALUES["int"]})],
            mask,
        )
        for mask in (["uri"], ["custom_properties.text", "properties.text"], ["nonsense", ""], ["custom_properties"])
    ),
    ("put_artifacts", [pb.Artifact(id=2, properties={"unknown": VALUES["int"]})], ["uri"]),
    ("put_artifacts", [pb.Artifact(id=2, properties={"unknown": VALUES["int"]})], ["properties.unknown"]),
    ("put_artifacts", [pb.Artifact(id=99)], ["uri"]),
    ("put_artifacts", [artifact(uri="new")], ["state"]),
    ("get_artifacts",),
    ("put_contexts", [context(name="c", external_id="cx", properties={"int": VALUES["int"]}), context(name="d")]),
    ("put_contexts", [context()]),
    ("put_contexts", [pb.Context(id=1)]),
    ("put_contexts", [pb.Context(id=1, name="")]),
    ("put_contexts", [pb.Context(id=1)], ["name"]),
    ("put_contexts", [pb.Context(id=1, external_id="cy")], ["external_id"]),
    ("put_contexts", [pb.Context(id=1, name="e")]),
    ("get_contexts",),
    ("put_executions", [execution(name="e", last_known_state=pb.Execution.RUNNING), execution()]),
    ("put_executions", [pb.Execution(id=1, name="f", last_known_state=pb.Execution.FAILED, custom_properties=VALUES)]),
    ("put_executions", [pb.Execution(id=1, last_known_state=pb.Execution.COMPLETE)], ["last_known_state"]),
    ("get_executions",),
    *((f"get_{kind}s_by_id", [3, 1, 1, 99]) for kind in ("artifact", "execution", "context")),
    *((f"get_{kind}s_by_id", []) for kind in ("artifact", "execution", "context")),
    *(
        (f"get_{kind}s_by_external_ids", ids)
        for kind in ("artifact", "context")
        for ids in (["x", "cy"], ["no"], [], [""])
    ),
    *((f"get_{kind}s_by_type", name) for kind in ("artifact", "execution", "context") for name in "AECX"),
    ("get_artifacts_by_type", "B", "2"),
    ("get_artifact_by_type_and_name", "A", "n"),
    ("get_artifact_by_type_and_name", "A", "n", "2"),
    ("get_execution_by_type_and_name", "E", "e"),
    ("get_context_by_type_and_name", "C", "e"),
    *(("get_artifacts_by_uri", uri) for uri in ("u", "", "none")),
    ("get_artifacts_and_types_by_artifact_ids", [1, 3]),
    *(
        ("get_artifacts", ListOptions(limit=limit, order_by=order, is_asc=ascending))
        for limit in (None, 0, 2)
        for order in (None, OrderByField.ID)
        for ascending in (True, False)
    ),
    ("get_artifacts", ListOptions(limit=-1)),
    ("get_artifacts", ListOptions(filter_query="uri = 'two' AND type = 'A'")),
    ("get_artifacts", ListOptions(filter_query="not a query")),
    ("get_executions", ListOptions(filter_query="custom_properties.int.int_value = -3")),
]

LINKS = [
    ("put_artifacts", [artifact(uri=str(at), external_id=f"x{at}") for at in range(4)]),
    ("put_executions", [execution(name="e1"), execution(name="e2")]),
    ("put_contexts", [context(name="c"), context(name="d")]),
    ("put_events", [event(IN, "k", 0, "", artifact_id=1, execution_id=1), event(OUT, artifact_id=2, execution_id=1)]),
    ("put_events", [event(IN, artifact_id=1, execution_id=1)]),
    ("put_events", [event(IN, artifact_id=3, execution_id=2, milliseconds_since_epoch=5)]),
    *(
        ("put_events", [given])
        for given in (event(IN), event(IN, artifact_id=1), event(IN, artifact_id=1, execution_id=9))
    ),
    ("put_events", [event(IN, artifact_id=9, execution_id=1)]),
    ("put_events", [pb.Event(artifact_id=4, execution_id=1)]),
    *((f"get_events_by_{kind}_ids", ids) for kind in ("artifact", "execution") for ids in ([1, 2, 99], [99], [])),
    ("put_attributions_and_associations", [pb.Attribution(artifact_id=1, context_id=1)] * 2, []),
    ("put_attributions_and_associations", [], [pb.Association(execution_id=1, context_id=1)]),
    ("put_attributions_and_associations", [pb.Attribution(artifact_id=9, context_id=1)], []),
    ("put_attributions_and_associations", [pb.Attribution()], [pb.Association(execution_id=1, context_id=9)]),
    *((f"get_contexts_by_{kind}", id_) for kind in ("artifact", "execution") for id_ in (1, 2, 99)),
    *((f"get_{kind}s_by_context", id_) for kind in ("artifact", "execution") for id_ in (1, 2, 99)),
    ("put_parent_contexts", [pb.ParentContext(child_id=1, parent_id=2)]),
    *(
        ("put_parent_contexts", [pb.ParentContext(child_id=child, parent_id=parent)])
        for child, parent in ((1, 2), (2, 1), (1, 1), (1, 9), (0, 1))
    ),
    *((f"get_{kind}_contexts_by_context", id_) for kind in ("parent", "children") for id_ in (1, 2, 9)),
]


ALL = (True, True)


def pairs(*given):
    return [pair if isinstance(pair, tuple) else (pair,) for pair in given]


PUTS = [
    *LINKS[:3],
    ("put_execution", execution(), pairs(artifact(), (artifact(), event(OUT, "o"))), [context(name="n")]),
    ("put_execution", execution(), [], None),
    ("put_execution", execution(), [()], []),
    ("put_execution", pb.Execution(), [], []),
    ("put_execution", execution(id=99), [], []),
    ("put_execution", execution(), pairs((None, event(IN, artifact_id=1))), []),
    ("put_execution", execution(), pairs((None, event(IN))), []),
    ("put_execution", execution(), pairs((artifact(id=1), event(IN, artifact_id=2))), []),
    ("put_execution", execution(), pairs((artifact(), event(IN, artifact_id=2))), []),
    ("put_execution", execution(), pairs((artifact(), event(IN, execution_id=1))), []),
    ("put_execution", execution(id=1, name="e1"), pairs((artifact(id=1, uri="changed"), event(IN))), []),
    ("put_execution", execution(id=1, name="e1"), pairs((artifact(id=1, uri="again"), event(IN))), []),
    ("put_execution", execution(), pairs((artifact(id=1), event(IN)), (artifact(id=1), event(OUT))), []),
    ("put_execution", execution(), pairs((artifact(id=1), event(IN)), (artifact(id=1), event(IN))), []),
    ("put_execution", execution(), pairs(artifact(external_id="x2", uri="by id")), []),
    ("put_execution", execution(), pairs(artifact(external_id="x2", uri="by id")), [], False, True),
    ("put_execution", execution(), pairs(*(artifact(external_id="y", uri=u) for u in "ab")), [], False, True),
    ("put_execution", execution(), [], [context(name="c")]),
    ("put_execution", execution(), [], [context(name="c", custom_properties=VALUES)] * 2, True),
    ("put_execution", execution(), [], [context(name="new")] * 2, True),
    ("put_execution", execution(), [], [context(name="newer")] * 2),
    ("put_execution", execution(), [], [context()], True),
    ("put_execution", execution(), [], [pb.Context(id=1, name="c")]),
    ("put_execution", execution(), [], [context(id=1, name="renamed")]),
    ("put_execution", execution(), [], [pb.Context(id=1)], False, False, True),
    ("put_execution", execution(), [], [pb.Context(id=99)], False, False, True),
    *(
        ("put_lineage_subgraph", [execution()], [artifact()], [], [(e, a, given)])
        for e, a, given in (
            (0, 0, event()), (5, 0, event()), (-1, 0, event()), (0, 7, event()), (None, 0, event()), (0, None, event()),
            (0, 0, event(IN, execution_id=1)), (0, 0, event(IN, artifact_id=1)), (0, 0, pb.Event()),
            (None, None, event(IN, artifact_id=4, execution_id=2)),
        )
    ),
    ("put_lineage_subgraph", [pb.Execution(id=1)], [], [], []),
    ("put_lineage_subgraph", [], [], [context(name="c")], []),
    ("put_lineage_subgraph", [execution()], [artifact(external_id="x3")], [context(name="c")], [(0, 0, event())], *ALL),
    ("put_lineage_subgraph", [], [], [], []),
    ("get_artifacts",),
    ("get_executions",),
    ("get_contexts",),
    *((f"get_{kind}s_by_context", id_) for kind in ("artifact", "execution") for id_ in (1, 3)),
    ("get_events_by_execution_ids", list(range(1, 30))),
]  # fmt: skip

LINEAGE = [
    (
        "put_lineage_subgraph",
        [execution(name="e1"), execution(name="e2")],
        [artifact(name=f"a{at}") for at in range(4)],
        [context(name="c")],
        [(0, 0, event(IN)), (0, 1, event(OUT, "p", 1)), (1, 1, event(IN)), (1, 2, event(OUT))],
    ),
    *(("get_lineage_subgraph", starting("name = 'a1'", max_num_hops=hops)) for hops in (-1, 0, 1, 2, 3, 30)),
    *(("get_lineage_subgraph", starting("name = 'a1'", max_num_hops=9, direction=way)) for way in (1, 2, 3)),
    ("get_lineage_subgraph", starting("name = 'a1'")),
    ("get_lineage_subgraph", starting("name LIKE 'a%'", max_num_hops=1)),
    *(("get_lineage_subgraph", starting(query, max_num_hops=1)) for query in ("name = 'none'", "no query", "")),
    ("get_lineage_subgraph", pb.LineageSubgraphQueryOptions()),
    (
        "get_lineage_subgraph",
        pb.LineageSubgraphQueryOptions(starting_executions={"filter_query": "name = 'e2'"}, max_num_hops=1),
    ),
    *(
        (
            "get_lineage_subgraph",
            starting("name = 'a0'", max_num_hops=9, **{of: {"filter_query": query, "include_ending_nodes": kept}}),
        )
        for of, query in (("ending_artifacts", "name = 'a1'"), ("ending_executions", "name = 'e2'"))
        for kept in (True, False)
    ),
    *(
        ("get_lineage_subgraph", starting("name = 'a1'", max_num_hops=9), mask)
        for mask in (
            ["artifacts"],
            ["artifact_types"],
            ["artifacts", "contexts"],
            ["events", "attributions"],
            ["nonsense"],
        )
    ),
]


@pytest.mark.parametrize(
    "script", [TYPES, RECORDS, LINKS, PUTS, LINEAGE], ids=["types", "records", "links", "puts", "lineage"]
)
def test_both_clients_answer_each_call_alike(script, tmp_path):
    ours, theirs = (
        opened(MetadataStore, tmp_path / "ours.db"),
        opened(ml_metadata.MetadataStore, tmp_path / "theirs.db"),
    )
    for at, (method, *args) in enumerate([*BEGINNING, *script]):
        expected = outcome(theirs, method, *args)
        assert outcome(ours, method, *args) == expected, f"call {at}: {method}{args}"


def test_our_client_has_every_public_method_with_the_same_parameters():
    import inspect

    for name in (name for name in dir(ml_metadata.MetadataStore) if not name.startswith("_")):
        theirs, ours = getattr(ml_metadata.MetadataStore, name), getattr(MetadataStore, name)
        if callable(theirs):
            described = [(p.name, p.default, p.kind) for p in inspect.signature(theirs).parameters.values()]
            assert [(p.name, p.default, p.kind) for p in inspect.signature(ours).parameters.values()] == described
        assert ours.__doc__


def everything(store):
    """All that a store holds; ML Metadata's client gives lists on PostgreSQL in any order."""
    calls = [(f"get_{kind}{s}",) for kind in ("artifact", "execution", "context") for s in ("s", "_types")]
    calls += [
        ("get_events_by_execution_ids", [1, 2, 3]),
        ("get_artifacts_by_context", 1),
        ("get_parent_contexts_by_context", 1),
    ]
    found = [outcome(store, method, *args) for method, *args in calls]
    return [sorted(one, key=str) if isinstance(one, list) else one for one in found]


# What ML Metadata's client loses or cannot write on a server: whole numbers of more than 31 bits, a backslash, 漢字.
ONLY_ON_SQLITE = {"long", "text"}


@pytest.mark.parametrize(
    ("writer", "reader"), [(ml_metadata.MetadataStore, MetadataStore), (MetadataStore, ml_metadata.MetadataStore)]
)
@pytest.mark.parametrize("backend", KEPT)
def test_each_client_reads_and_goes_on_with_what_the_other_wrote(servers, backend, writer, reader, tmp_path):
    where = configuration(servers.new(backend, tmp_path))
    values = {name: value for name, value in VALUES.items() if backend == "sqlite" or name not in ONLY_ON_SQLITE}
    first = writer(where)
    for method, *args in [*BEGINNING, *LINKS[:4]]:
        getattr(first, method)(*args)
    typed = {name: values[name] for name in KINDS if name in values}
    first.put_artifacts([artifact(name="all", custom_properties=values, properties=typed)])
    first.put_attributions_and_associations([pb.Attribution(artifact_id=5, context_id=1)], [])
    first.put_parent_contexts([pb.ParentContext(child_id=1, parent_id=2)])
    written = everything(first)
    del first
    second = reader(where)
    assert everything(second) == written
    changed = artifact(id=5, custom_properties=values)
    second.put_execution(execution(), pairs((changed, event(OUT))), [context(name="c")], *ALL)
    expected = everything(second)
    del second
    assert everything(writer(where)) == expected


def test_a_ledger_opens_what_ml_metadata_wrote_and_ml_metadata_what_a_ledger_wrote(tmp_path):
    theirs = opened(ml_metadata.MetadataStore, tmp_path / "m.db")
    for method, *args in [*BEGINNING, *LINKS[:4]]:
        getattr(theirs, method)(*args)
    theirs.put_artifacts([artifact(name="all", custom_properties=VALUES)])
    del theirs
    with Ledger(f"sqlite:///{tmp_path}/m.db") as ledger:
        [found] = ledger.get_artifacts(names=["all"])
        assert found.custom_properties["message"] == Proto(MESSAGE.type_url, MESSAGE.value)
        assert found.custom_properties["struct"] == {"a": 1, "b": [1, "x", None, {"c": True}]}
        assert ledger.get_events(execution_ids=[1])[0].path == ("k", 0, "")
        assert ledger.store.get_type(TypeKind.EXECUTION, "E").base == "mlmd.Train"
        made = Artifact("Report", name="r", properties={"rows": 3, "share": 1 / 3, "note": {"x": [1]}})
        put = ledger.put_execution(Execution("Write"), [(found.id, EventType.INPUT), (made, EventType.OUTPUT)])
    theirs = opened(ml_metadata.MetadataStore, tmp_path / "m.db")
    report = theirs.get_artifact_by_type_and_name("Report", "r")
    assert (report.properties["rows"].int_value, report.properties["note"].struct_value["x"][0]) == (3, 1)
    assert math.isclose(report.properties["share"].double_value, 1 / 3)
    assert [e.artifact_id for e in theirs.get_events_by_execution_ids([put.execution_id])] == list(put.artifact_ids)


def test_what_ml_metadata_loses_or_mixes_up_ours_keeps(tmp_path):
    ours = opened(MetadataStore, tmp_path / "ours.db")
    type_id = ours.put_artifact_type(pb.ArtifactType(name="T", properties={"p": pb.DOUBLE}))
    kept = {
        "third": pb.Value(double_value=1 / 3),
        "tiny": pb.Value(double_value=1e-9),
        "infinite": pb.Value(double_value=-math.inf),
        "null": pb.Value(string_value="__MLMD_NULL__"),
        "struct": pb.Value(string_value="mlmd-struct::abc"),
        "nul": pb.Value(string_value="a\0b"),
        "proto": pb.Value(proto_value=any_pb2.Any()),
        "p": pb.Value(int_value=2**62 + 1),
    }
    [id_] = ours.put_artifacts(
        [pb.Artifact(type_id=type_id, properties={"p": pb.Value(double_value=math.nan)}, custom_properties=kept)]
    )
    [found] = ours.get_artifacts_by_id([id_])
    assert dict(found.custom_properties) == kept
    assert math.isnan(found.properties["p"].double_value)
    ours.put_artifacts(
        [
            pb.Artifact(
                id=id_, properties={"p": pb.Value(double_value=7)}, custom_properties={"p": pb.Value(int_value=8)}
            )
        ]
    )
    [found] = ours.get_artifacts_by_id([id_])
    assert (found.properties["p"].double_value, found.custom_properties["p"].int_value) == (7, 8)
    with pytest.raises(errors.InvalidArgumentError):
        ours.put_artifacts([pb.Artifact(type_id=type_id, custom_properties={"unset": pb.Value()})])
    execution_type = ours.put_execution_type(pb.ExecutionType(name="E"))
    with pytest.raises(errors.InvalidArgumentError):
        ours.put_execution(pb.Execution(type_id=execution_type), [(None, event(IN, artifact_id=999))], [])


def test_a_store_opened_for_reading_puts_nothing_and_leaves_the_file_as_it_was(tmp_path):
    opened(ml_metadata.MetadataStore, tmp_path / "m.db").put_artifact_type(pb.ArtifactType(name="T"))
    before = (tmp_path / "m.db").read_bytes()
    reading = pb.SqliteMetadataSourceConfig(filename_uri=str(tmp_path / "m.db"), connection_mode="READONLY")
    store = MetadataStore(pb.ConnectionConfig(sqlite=reading))
    assert [t.name for t in store.get_artifact_types()] == ["T"]
    with pytest.raises(errors.InternalError):
        store.put_artifact_type(pb.ArtifactType(name="U"))
    store.close()
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("m.db", before)]


@pytest.mark.parametrize(
    "config",
    [
        pb.ConnectionConfig(),
        pb.ConnectionConfig(sqlite={"filename_uri": "/nowhere/m.db"}),
        pb.ConnectionConfig(sqlite={"filename_uri": "nothing.db", "connection_mode": "READWRITE"}),
        pb.ConnectionConfig(sqlite={"filename_uri": "nothing.db", "connection_mode": "READONLY"}),
        pb.ConnectionConfig(sqlite={"connection_mode": "READONLY"}),
        pb.ConnectionConfig(postgresql={"host": "127.0.0.1", "port": "1", "dbname": "none"}),
    ],
)
def test_what_cannot_be_opened_is_a_runtime_error(config):
    with pytest.raises(RuntimeError):
        MetadataStore(config)


def test_another_applications_file_is_refused_and_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE Own (id INTEGER)")
    with pytest.raises(RuntimeError, match="another application"):
        opened(MetadataStore, tmp_path / "other.db")
    with pytest.raises(ValueError, match="ConnectionConfig"):
        MetadataStore(pb.MetadataStoreClientConfig(host="localhost"))
