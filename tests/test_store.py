"""The store: ML Metadata's whole model, as strict as ML Metadata, and better where that loses what it was given."""

import contextlib
import dataclasses
import math
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.errors import RecordError
from lakehouse.metadata import Ledger
from lakehouse.metadata.store import ListOptions, Reuse
from lakehouse.records import (
    Artifact,
    ArtifactState,
    Context,
    DataType,
    Event,
    EventType,
    Execution,
    ExecutionState,
    Proto,
    Type,
    TypeKind,
)

PROPERTIES = {"rows": DataType.INT, "share": DataType.DOUBLE, "label": DataType.STRING}
AWKWARD = [
    1 / 3,
    1e-9,
    5e-324,
    math.nan,
    math.inf,
    -math.inf,
    2**31,
    2**53 + 1,
    -(2**63),
    "",
    "__MLMD_NULL__",
    "mlmd-struct::abc",
    "mlmd-struct::CgA=",
    "a\0b",
    'back\\slash\' "quoted" \n',
    "漢字 😀",
    random.Random(7).randbytes(4_000).hex(),
    {"a": [1, None, {"b": math.inf}], "__value__": 2},
    [],
    {str(n): n for n in range(500)},
    Proto("type.googleapis.com/google.protobuf.Struct", b"\n\x0e\n\x01a\x12\t\x11\0\0\0\0\0\0\xf0?"),
    Proto("type.googleapis.com/some.Empty", b""),
    True,
]


class Clock:
    """Every look at it is a second later."""

    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        """The moment, a second after the last."""
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def store(ledger_url):
    """A store that knows a type of each kind."""
    with Ledger(ledger_url, Clock()) as ledger:
        ledger.store.put_type(Type(TypeKind.ARTIFACT, "Model", PROPERTIES))
        ledger.store.put_type(Type(TypeKind.EXECUTION, "Train", {"rate": DataType.DOUBLE}))
        ledger.store.put_type(Type(TypeKind.CONTEXT, "Study"))
        yield ledger.store


@contextlib.contextmanager
def refused(problem, text=None):
    """A record is refused for this reason."""
    with pytest.raises(RecordError, match=text) as caught:
        yield
    assert caught.value.problem == problem


def same(one, other):
    """Equal, of the same type, and NaN is NaN."""
    return type(one) is type(other) and (one == other or (one != one and other != other))  # noqa: PLR0124


def test_every_value_survives_as_own_and_as_custom_property(store):
    kinds = {Proto: DataType.PROTO, bool: DataType.BOOLEAN, int: DataType.INT, float: DataType.DOUBLE}
    kinds |= {str: DataType.STRING, dict: DataType.STRUCT, list: DataType.STRUCT}
    values = {f"v{at}": value for at, value in enumerate(AWKWARD)}
    store.put_type(Type(TypeKind.ARTIFACT, "Holder", {name: kinds[type(value)] for name, value in values.items()}))
    [id_] = store.put_artifacts([Artifact("Holder", properties=values, custom_properties=values)])
    [found] = store.get_artifacts(ids=[id_])
    for read in (found.properties, found.custom_properties):
        assert [name for name, value in values.items() if not same(read[name], value)] == []
    store.put_artifacts([found])
    assert store.get_artifacts(ids=[id_])[0].updated_at == found.updated_at, "what was read is what is stored"


@given(
    values=st.lists(
        st.floats() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"])), max_size=5
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
def test_numbers_and_texts_survive(store, values):
    type_id = store.put_type(Type(TypeKind.ARTIFACT, "Any"))
    given_ones = {f"p{at}": value for at, value in enumerate(values)}
    [id_] = store.put_artifacts([Artifact("Any", type_id=type_id, custom_properties=given_ones)])
    [found] = store.get_artifacts(ids=[id_])
    assert all(same(found.custom_properties[name], value) for name, value in given_ones.items())


def test_a_property_and_a_custom_one_of_one_name_do_not_overwrite_each_other(store):
    [id_] = store.put_artifacts([Artifact("Model", properties={"rows": 1}, custom_properties={"rows": 2})])
    for own, custom in ((7, 2), (7, 8), (9, 10)):
        store.put_artifacts([Artifact("", id=id_, properties={"rows": own}, custom_properties={"rows": custom})])
        [found] = store.get_artifacts(ids=[id_])
        assert (found.properties, found.custom_properties) == ({"rows": own}, {"rows": custom})


def test_a_type_only_grows_and_only_when_it_may(store):
    more = Type(TypeKind.ARTIFACT, "Model", {**PROPERTIES, "size": DataType.INT})
    less = Type(TypeKind.ARTIFACT, "Model", {"rows": DataType.INT})
    with refused("exists", "no size"):
        store.put_type(more)
    with refused("exists", "label, share"):
        store.put_type(less)
    with refused("exists", "rows is INT, not STRING"):
        store.put_type(Type(TypeKind.ARTIFACT, "Model", {"rows": DataType.STRING}), can_omit_fields=True)
    models = store.get_type(TypeKind.ARTIFACT, "Model").id
    assert store.put_type(more, can_add_fields=True) == store.put_type(less, can_omit_fields=True) == models
    assert store.get_type(TypeKind.ARTIFACT, "Model").properties == more.properties


def test_versions_kinds_and_bases_of_types_stand_side_by_side(store):
    models = store.get_type(TypeKind.ARTIFACT, "Model").id
    second = store.put_type(Type(TypeKind.ARTIFACT, "Model", version="2", base="mlmd.Model", external_id="m2"))
    step = store.put_type(Type(TypeKind.EXECUTION, "Model", description="a step", input_type='{"any":{}}'))
    assert len({models, second, step}) == 3
    assert store.get_type(TypeKind.ARTIFACT, "Model", "2").base == "mlmd.Model"
    assert store.get_type(TypeKind.EXECUTION, "Model").input_type == '{"any":{}}'
    assert [t.id for t in store.get_types(TypeKind.ARTIFACT, external_ids=["m2", "none"])] == [second]
    assert [t.id for t in store.get_types(TypeKind.ARTIFACT)] == [models, second], "the built-in ones are no one's own"
    with refused("unsupported", "its base cannot change"):
        store.put_type(Type(TypeKind.ARTIFACT, "Model", version="2", base="mlmd.Dataset"))
    with refused("exists"):
        store.put_type(Type(TypeKind.CONTEXT, "Other", external_id="m2"))
    with refused("missing"):
        store.get_type(TypeKind.ARTIFACT, "Model", "3")
    [one, two] = store.put_artifacts([Artifact("Model", name="a"), Artifact("", type_id=second, name="a")])
    assert [a.id for a in store.get_artifacts(type=("Model", None))] == [one]
    assert [a.id for a in store.get_artifacts(type=("Model", "2"), names=["a"])] == [two]


UNFIT = [
    (Artifact(""), "invalid"),
    (Artifact("Unheard"), "missing"),
    (Artifact("", type_id=999), "missing"),
    (Artifact("Model", properties={"unknown": 1}), "invalid"),
    (Artifact("Model", properties={"rows": "text"}), "invalid"),
    (Artifact("Model", properties={"rows": 1.0}), "invalid"),
    (Artifact("Model", id=999), "invalid"),
    (Artifact("Model", name="known"), "exists"),
    (Artifact("Model", external_id="known"), "exists"),
]


def test_what_does_not_fit_is_refused_and_nothing_of_the_put_is_kept(store):
    store.put_artifacts([Artifact("Model", name="known", external_id="known")])
    for artifact, problem in UNFIT:
        with refused(problem):
            store.put_artifacts([Artifact("Model", name="first"), artifact])
    assert [a.name for a in store.get_artifacts()] == ["known"]


def test_an_update_replaces_all_but_name_type_and_creation(store):
    states = {"state": ArtifactState.PENDING, "properties": {"rows": 1, "label": "x"}}
    [id_] = store.put_artifacts([Artifact("Model", name="a", uri="u", external_id="e", **states)])
    [before] = store.get_artifacts(ids=[id_])
    store.put_artifacts([Artifact("", id=id_, name="other", uri="v", state=ArtifactState.LIVE, properties={"rows": 2})])
    [after] = store.get_artifacts(ids=[id_])
    changed = {"uri": "v", "state": ArtifactState.LIVE, "external_id": None, "properties": {"rows": 2}}
    assert after == dataclasses.replace(before, updated_at=after.updated_at, **changed)
    assert after.updated_at > before.updated_at
    store.put_artifacts([after])
    assert store.get_artifacts(ids=[id_]) == [after], "nothing differed, so it was not updated"
    with refused("invalid", "it cannot change"):
        store.put_artifacts([Artifact("", id=id_, type_id=store.put_type(Type(TypeKind.ARTIFACT, "Other")))])


@pytest.mark.parametrize("ledger_url", ["memory"], indirect=True)
def test_an_update_is_of_what_was_there_before_the_put(store):
    with pytest.raises(RecordError, match="There is no artifact 1 to update"):
        store.put_artifacts([Artifact("Model", id=1, uri="a"), Artifact("Model")])
    assert store.get_artifacts() == []
    [first] = store.put_artifacts([Artifact("Model", external_id="x")])
    second = store.put_artifacts([Artifact("Model", id=first, external_id="y"), Artifact("Model", external_id="x")])[1]
    assert [a.external_id for a in store.get_artifacts(ids=[first, second])] == ["y", "x"]


def test_a_masked_update_touches_what_it_names(store):
    [id_] = store.put_artifacts(
        [Artifact("Model", uri="u", properties={"rows": 1, "label": "x"}, custom_properties={"k": 1})]
    )
    new = Artifact("", id=id_, uri="v", external_id="e", properties={"rows": 2, "label": "y"})
    store.put_artifacts([new], ["external_id", "properties.rows", "", "nonsense"])
    [found] = store.get_artifacts(ids=[id_])
    assert (found.uri, found.external_id, found.properties) == ("u", "e", {"rows": 2, "label": "x"})
    store.put_artifacts([Artifact("", id=id_)], ["properties.label", "custom_properties"])
    [found] = store.get_artifacts(ids=[id_])
    assert (found.uri, found.properties, found.custom_properties) == ("u", {"rows": 2}, {})


def test_an_update_of_what_changed_meanwhile_can_be_refused(store):
    [id_] = store.put_artifacts([Artifact("Model")])
    [read] = store.get_artifacts(ids=[id_])
    store.put_artifacts([dataclasses.replace(read, uri="theirs")], unchanged_since=True)
    with refused("stale"):
        store.put_artifacts([dataclasses.replace(read, uri="ours")], unchanged_since=True)
    assert store.get_artifacts(ids=[id_])[0].uri == "theirs"


def test_a_context_has_a_name_and_may_change_it(store):
    for nameless in (Context("Study", ""), Context("", "", type_id=store.get_type(TypeKind.CONTEXT, "Study").id)):
        with refused("invalid", "name"):
            store.put_contexts([nameless])
    [id_, _] = store.put_contexts([Context("Study", "old"), Context("Study", "taken")])
    store.put_contexts([Context("", "new", id=id_)])
    assert [c.name for c in store.get_contexts(ids=[id_])] == ["new"]
    with refused("exists"):
        store.put_contexts([Context("", "taken", id=id_)])


def test_events_keep_their_paths_and_times_and_come_once(store):
    [artifact] = store.put_artifacts([Artifact("Model")])
    [execution] = store.put_executions([Execution("Train")])
    at = datetime(2020, 5, 1, tzinfo=UTC)
    event = Event(artifact, execution, EventType.INPUT, at, ("models", 0, "best", 2))
    store.put_events([event, Event(artifact, execution, EventType.OUTPUT)])
    first, second = store.get_events(artifact_ids=[artifact])
    assert first == event
    assert second.path == ()
    assert second.at is not None
    with refused("exists"):
        store.put_events([event])
    assert len(store.get_events(execution_ids=[execution])) == 2


def test_an_event_between_what_is_not_there_is_refused(store):
    store.put_artifacts([Artifact("Model")])
    store.put_executions([Execution("Train")])
    for event in (Event(999, 1, EventType.INPUT), Event(1, 999, EventType.INPUT), Event(1, 1, EventType.UNKNOWN)):
        with refused("invalid"):
            store.put_events([event])
    missing = Event(999, 0, EventType.INPUT)
    with refused("invalid"):
        store.put_execution(Execution("Train"), [(None, missing)])
    with refused("invalid"):
        store.put_lineage_subgraph([Execution("Train")], [], [], [(0, None, missing)])
    assert store.get_events() == []
    assert len(store.get_executions()) == 1


def test_an_execution_is_put_with_all_that_belongs_to_it_or_not_at_all(store):
    [old] = store.put_artifacts([Artifact("Model", uri="old")])
    pairs = [
        (Artifact("Model", id=old, uri="seen"), Event(0, 0, EventType.INPUT)),
        (Artifact("Model", uri="made"), Event(0, 0, EventType.OUTPUT, path=("out", 0))),
        (Artifact("Model", uri="beside"), None),
        (None, Event(old, 0, EventType.DECLARED_INPUT)),
    ]
    execution, artifacts, contexts = store.put_execution(
        Execution("Train", state=ExecutionState.COMPLETE, properties={"rate": 0.1}), pairs, [Context("Study", "s")]
    )
    assert artifacts[0] == artifacts[3] == old
    assert [a.uri for a in store.get_artifacts(context_id=contexts[0])] == ["seen", "made", "beside"]
    assert [e.id for e in store.get_executions(context_id=contexts[0])] == [execution]
    assert [(e.artifact_id, e.type, e.path) for e in store.get_events(execution_ids=[execution])] == [
        (old, EventType.INPUT, ()),
        (artifacts[1], EventType.OUTPUT, ("out", 0)),
        (old, EventType.DECLARED_INPUT, ()),
    ]
    with refused("exists"):
        store.put_execution(Execution("Train", name="lost"), pairs[1:2], [Context("Study", "s")])
    assert len(store.get_executions()) == 1
    assert len(store.get_artifacts()) == 3


def test_what_is_stored_is_reused_where_that_was_asked_for(store):
    put = store.put_execution(
        Execution("Train"), [(Artifact("Model", external_id="e", uri="1"), None)], [Context("Study", "s")]
    )
    reuse = Reuse(contexts=True, artifacts=True)
    twice = [
        (Artifact("Model", external_id="e", uri="2"), None),
        (Artifact("Model", external_id="new", uri="3"), None),
    ] * 2
    again = store.put_execution(Execution("Train"), twice, [Context("Study", "s"), Context("Study", "t")] * 2, reuse)
    assert again[0] != put[0]
    assert again[1][0] == again[1][2] == put[1][0]
    assert again[1][1] == again[1][3]
    assert again[2] == [put[2][0], again[2][1]] * 2
    assert [a.uri for a in store.get_artifacts()] == ["2", "3"], "an artifact that is reused is updated"
    kept = store.put_execution(
        Execution("Train"), [], [Context("", "ignored", id=put[2][0])], Reuse(contexts_by_id=True)
    )
    assert [c.name for c in store.get_contexts(ids=kept[2])] == ["s"]


def test_a_subgraph_is_put_and_found_again_from_more_than_a_hundred_starts(store):
    count = 150
    edges = [(0, at, Event(0, 0, EventType.INPUT)) for at in range(count)] + [(0, count, Event(0, 0, EventType.OUTPUT))]
    artifacts = [Artifact("Model", uri=f"in/{at}") for at in range(count)] + [Artifact("Model", uri="out")]
    executions, ids, contexts = store.put_lineage_subgraph(
        [Execution("Train")], artifacts, [Context("Study", "s")], edges
    )
    found = store.get_lineage_subgraph("uri LIKE 'in/%'")
    assert [a.id for a in found.artifacts] == ids
    assert [e.id for e in found.executions] == executions
    assert len(found.events) == count + 1
    assert found.attributions == [(contexts[0], id_) for id_ in ids]
    assert found.associations == [(contexts[0], executions[0])]
    with refused("missing"):
        store.get_lineage_subgraph("uri = 'nowhere'")


def test_an_edge_whose_ends_contradict_each_other_is_refused(store):
    blank = Event(0, 0, EventType.INPUT)
    for edge in ((1, 0, blank), (0, -1, blank), (None, 0, blank), (0, 0, Event(5, 0, EventType.INPUT))):
        with refused("invalid"):
            store.put_lineage_subgraph([Execution("Train")], [Artifact("Model")], [], [edge])
    assert store.get_executions() == []


def test_contexts_have_parents_and_are_nobodys_own_ancestor(store):
    a, b, c = store.put_contexts([Context("Study", name) for name in "abc"])
    store.put_parent_contexts([(a, b), (b, c)])
    assert [x.name for x in store.get_contexts(child_id=a)] == ["b"]
    assert [x.name for x in store.get_contexts(parent_id=c)] == ["b"]
    for pairs, problem in (([(a, b)], "exists"), ([(c, a)], "invalid"), ([(a, a)], "invalid"), ([(a, 999)], "invalid")):
        with refused(problem):
            store.put_parent_contexts(pairs)


def test_members_of_contexts_are_there_and_are_noted_once(store):
    [context] = store.put_contexts([Context("Study", "s")])
    [artifact] = store.put_artifacts([Artifact("Model")])
    [execution] = store.put_executions([Execution("Train")])
    for _ in range(2):
        store.put_memberships([(context, execution)], [(context, artifact), (context, artifact)])
    assert [c.id for c in store.get_contexts(artifact_id=artifact, execution_id=execution)] == [context]
    for associations, attributions in (([(context, 999)], []), ([], [(context, 999)]), ([(999, execution)], [])):
        with refused("invalid"):
            store.put_memberships(associations, attributions)


def test_a_list_is_ordered_limited_and_filtered(store):
    ids = store.put_artifacts([Artifact("Model", name=f"n{at}", properties={"rows": at}) for at in range(20)])
    store.put_artifacts([Artifact("", id=ids[3], uri="touched")])
    assert [a.id for a in store.get_artifacts(options=ListOptions(limit=3, ascending=False))] == ids[:16:-1]
    newest = store.get_artifacts(options=ListOptions(order_by="update_time", ascending=False, limit=2))
    assert [a.id for a in newest] == [ids[3], ids[19]]
    filtered = ListOptions(filter_query="properties.rows.int_value > 15 AND name != 'n17'", limit=2)
    assert [a.id for a in store.get_artifacts(options=filtered)] == [ids[16], ids[18]]
    with refused("invalid"):
        store.get_artifacts(options=ListOptions(limit=0))


def test_long_lists_of_ids_are_found_whole(store):
    ids = store.put_artifacts([Artifact("Model", properties={"rows": at}) for at in range(6_000)])
    found = store.get_artifacts(ids=ids[::-1])
    assert [a.id for a in found] == ids
    assert [a.properties["rows"] for a in found] == list(range(6_000))


def test_what_another_process_registered_is_known_and_what_was_rolled_back_is_not(tmp_path):
    with Ledger(f"sqlite:///{tmp_path}/m.db") as one, Ledger(f"sqlite:///{tmp_path}/m.db") as other:
        one.store.put_type(Type(TypeKind.ARTIFACT, "Model"))
        one.store.put_artifacts([Artifact("Model")])
        other.store.put_type(Type(TypeKind.ARTIFACT, "Model", {"rows": DataType.INT}), can_add_fields=True)
        one.store.put_artifacts([Artifact("Model", properties={"rows": 1})])
        with pytest.raises(RecordError):
            one.put_execution(Execution("Train", properties={"new": 1}), [(999, EventType.INPUT)])
        with refused("missing"):
            one.store.put_executions([Execution("Train")])
        one.store.put_type(Type(TypeKind.EXECUTION, "Test", {"new": DataType.DOUBLE}))
        with refused("invalid"):
            one.store.put_executions([Execution("Test", properties={"new": 1})])
