"""Property values: what goes into the ledger comes out the same, stored as ML Metadata stores it."""

from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import BACKENDS
from sqlalchemy import select

from lakehouse.errors import MetadataError
from lakehouse.metadata import Ledger, structs, tables
from lakehouse.records import Artifact, Context, EventType, Execution

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
NESTED = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)
STRUCTS = st.lists(NESTED) | st.dictionaries(TEXT, NESTED).filter(lambda fields: set(fields) != {"__value__"})
SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | TEXT.filter(lambda text: not text.startswith(structs.PREFIX))
)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=255)
PROPERTIES = st.dictionaries(NAMES, SCALARS | STRUCTS, max_size=8)


@pytest.fixture(scope="module", params=BACKENDS)
def ledger(request, servers, tmp_path_factory):
    with Ledger(servers.new(request.param, tmp_path_factory.mktemp("ledger"))) as opened:
        yield opened


@settings(max_examples=40, deadline=None)
@given(own=PROPERTIES, custom=PROPERTIES)
def test_properties_come_back_as_they_were_put(ledger, own, custom):
    kind = f"Land{len(ledger.get_executions())}"
    put = ledger.put_execution(Execution(kind, properties=own, custom_properties=custom))
    [found] = ledger.get_executions(ids=[put.execution_id])
    for given_ones, stored in ((own, found.properties), (custom, found.custom_properties)):
        assert stored == given_ones
        # True is 1 and 1.0 to ==, not to a reader.
        assert {name: type(value) for name, value in stored.items()} == {n: type(v) for n, v in given_ones.items()}


@given(value=STRUCTS)
def test_a_mapping_or_list_survives_its_text(value):
    text = structs.dump(value)
    assert text.startswith("mlmd-struct::")
    assert structs.load(text) == value


@given(data=st.binary(max_size=60))
def test_damaged_struct_bytes_are_a_metadata_error_or_a_value_never_a_crash(data):
    text = structs.PREFIX + base64.b64encode(data).decode()
    with contextlib.suppress(MetadataError):
        assert isinstance(structs.load(text), dict | list)


@pytest.mark.parametrize("inside", ["Cg4K", "!", "CgUKAWESAQ==", "Dw==", "CggKAWESAxoB/w==", "CgYKAWESAVg="])
def test_a_damaged_struct_says_so(inside):
    with pytest.raises(MetadataError, match="damaged STRUCT"):
        structs.load(structs.PREFIX + inside)


def test_a_struct_is_the_very_text_that_ml_metadata_stores():
    # Written by ml_metadata 1.17.1 for {"a": 1, "b": [null, true, "x", {"y": 2.5}]}.
    theirs = "mlmd-struct::Cg4KAWESCREAAAAAAADwPwooCgFiEiMyIQoCCAAKAiABCgMaAXgKEioQCg4KAXkSCREAAAAAAAAEQA=="
    value = {"a": 1, "b": [None, True, "x", {"y": 2.5}]}
    assert structs.dump(value) == theirs
    assert structs.load(theirs) == value


def test_a_list_is_stored_under_the_key_that_tfx_uses():
    inside = base64.b64decode(structs.dump([1]).removeprefix(structs.PREFIX))
    assert b"__value__" in inside


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([2**53 + 1], "exact up to 2\\*\\*53"),
        ({1: "x"}, "keys must be text, not int"),
        ({"t": datetime(2026, 1, 1, tzinfo=UTC)}, "cannot hold a datetime"),
        ({"__value__": [1]}, "rename the key"),
    ],
)
def test_what_a_struct_cannot_hold_is_refused(value, reason):
    with pytest.raises(MetadataError, match=reason):
        structs.dump(value)


def test_a_struct_nested_deeper_than_protobuf_reads_is_refused():
    value: list = []
    for _ in range(29):
        value = [value]
    assert structs.load(structs.dump(value)) == value
    for _ in range(5_000):
        value = [value]
    with pytest.raises(MetadataError, match="30 deep"):
        structs.dump(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (2**63, "more than 64 bits"),
        (-(2**63) - 1, "more than 64 bits"),
        (None, "a NoneType cannot be stored"),
        (b"raw", "a bytes cannot be stored"),
        (datetime(2026, 1, 1, tzinfo=UTC), "a datetime cannot be stored"),
        ({"deep": [b""]}, "cannot hold a bytes"),
    ],
)
@pytest.mark.parametrize("field", ["properties", "custom_properties"])
def test_a_value_that_cannot_be_stored_is_refused_by_property_and_type(ledger, field, value, reason):
    before = len(ledger.get_executions())
    with pytest.raises(MetadataError, match=f"Property 'speed' of Refused: .*{reason}"):
        ledger.put_execution(Execution("Refused", **{field: {"speed": value}}))
    assert len(ledger.get_executions()) == before


def test_a_text_that_is_not_unicode_is_refused_without_being_shown(ledger):
    with pytest.raises(MetadataError, match="not valid Unicode") as caught:
        ledger.put_execution(Execution("Land", custom_properties={"name": "secret\udcff"}))
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_read_only_mapping_is_stored_like_a_dict(ledger):
    put = ledger.put_execution(Execution("Land", custom_properties={"m": MappingProxyType({"a": 1})}))
    assert ledger.get_executions(ids=[put.execution_id])[0].custom_properties == {"m": {"a": 1}}


def test_exactly_one_value_column_is_set_for_every_kind_of_value(ledger):
    values = {"i": 0, "d": 0.0, "s": "", "b": False, "m": {}, "l": []}
    put = ledger.put_execution(Execution("OneColumn", properties=values))
    p = tables.execution_property
    with ledger._database.reading() as connection:
        rows = connection.execute(select(p).where(p.c.execution_id == put.execution_id)).all()
    found = {row.name: sum(value is not None for key, value in row._mapping.items() if "value" in key) for row in rows}
    assert found == dict.fromkeys(values, 1)


def test_a_type_is_registered_with_its_properties_when_first_used():
    with Ledger("sqlite://") as ledger:
        ledger.put_execution(
            Execution("Land", properties={"i": 1, "d": 1.0, "s": "x", "m": {}, "b": True}, custom_properties={"c": 1}),
            [(Artifact("RawFile", properties={"size": 1}), EventType.OUTPUT)],
            [Context("Source", "flights", properties={"owner": "anna"})],
        )
        ledger.put_execution(Execution("Land", properties={"added": "later"}))
        with ledger._database.reading() as connection:
            rows = connection.exec_driver_sql(
                "SELECT t.type_kind, t.name, p.name, p.data_type FROM Type t JOIN TypeProperty p ON p.type_id = t.id"
                " ORDER BY t.id, p.name"
            ).all()
    assert sorted(map(tuple, rows)) == [
        (0, "Land", "added", 3),
        (0, "Land", "b", 6),
        (0, "Land", "d", 2),
        (0, "Land", "i", 1),
        (0, "Land", "m", 4),
        (0, "Land", "s", 3),
        (1, "RawFile", "size", 1),
        (2, "Source", "owner", 3),
    ]


@pytest.mark.parametrize(("value", "word"), [(1.0, "DOUBLE"), ("1", "STRING"), (True, "BOOLEAN"), ([1], "STRUCT")])
def test_a_property_that_changes_its_type_is_refused_and_nothing_is_kept(value, word):
    with Ledger("sqlite://") as ledger:
        ledger.put_execution(Execution("Land", properties={"rows": 1}))
        with pytest.raises(MetadataError, match=f"Property 'rows' of Land is INT in the ledger, not {word}"):
            ledger.put_execution(Execution("Land", properties={"new": 1, "rows": value}))
        assert len(ledger.get_executions()) == 1
        ledger.put_execution(Execution("Land", properties={"new": "still free"}))


def test_two_artifacts_of_one_put_may_not_disagree_about_a_property():
    with Ledger("sqlite://") as ledger:
        made = [(Artifact("RawFile", properties={"size": size}), EventType.OUTPUT) for size in (1, "1")]
        with pytest.raises(MetadataError, match="Property 'size' of RawFile is INT"):
            ledger.put_execution(Execution("Land"), made)
        assert ledger.get_artifacts() == []


def test_custom_properties_may_change_their_type():
    with Ledger("sqlite://") as ledger:
        put = ledger.put_execution(Execution("Land", custom_properties={"note": 1}))
        ledger.put_execution(Execution("Land", id=put.execution_id, custom_properties={"note": "one"}))
        [found] = ledger.get_executions()
        assert found.custom_properties == {"note": "one"}


def test_a_type_of_the_same_name_may_be_an_artifacts_and_an_executions():
    with Ledger("sqlite://") as ledger:
        ledger.put_execution(
            Execution("Curate", properties={"n": 1}), [(Artifact("Curate", properties={"n": "x"}), EventType.OUTPUT)]
        )
        assert ledger.get_executions(type="Curate")[0].properties == {"n": 1}
        assert ledger.get_artifacts(type="Curate")[0].properties == {"n": "x"}


def test_a_record_without_a_type_is_refused():
    with Ledger("sqlite://") as ledger, pytest.raises(MetadataError, match="needs a type"):
        ledger.put_execution(Execution(""))
