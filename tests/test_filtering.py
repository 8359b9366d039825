"""Filter queries: what ML Metadata answers, what a plain reading of the grammar says, and what is refused."""

import itertools
import json
import operator
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from lakehouse.errors import RecordError
from lakehouse.metadata import Ledger, tables
from lakehouse.records import Artifact, Context, EventType, Execution

MEASURED = json.loads((Path(__file__).parent / "support/filter_queries.json").read_text("utf-8"))
PAGE = Path(__file__).parents[1] / "docs/ledger.md"
FLAGS = {"bool_value", "is_custom_property"}


def ask(ledger, kind, query):
    """The ids of the records of a kind that meet the query, or "invalid"."""
    find = {"artifact": ledger.get_artifacts, "execution": ledger.get_executions, "context": ledger.get_contexts}
    try:
        return [record.id for record in find[kind](filter_query=query)]
    except RecordError as error:
        return error.problem


@pytest.fixture
def measured(ledger_url):
    """A ledger with the very rows that ML Metadata answered about."""
    by_name = {table.name: table for table in tables.THEIRS}
    with Ledger(ledger_url) as ledger:
        with ledger._database.writing() as connection:
            connection.execute(delete(tables.type_))
            for name, rows in MEASURED["rows"].items():
                for row in rows:
                    values = {key: bool(value) if key in FLAGS else value for key, value in row.items()}
                    connection.execute(insert(by_name[name]), values)
        yield ledger


@pytest.mark.parametrize("ledger_url", ["memory", "mysql", "postgresql"], indirect=True)
def test_every_measured_query_is_answered_as_ml_metadata_does_but_where_a_reason_is_given(measured):
    expected = {"InvalidArgumentError": "invalid"}
    wrong = []
    for one in MEASURED["queries"]:
        answer = ask(measured, one["of"], one["query"])
        theirs = one["theirs"] if isinstance(one["theirs"], list) else expected.get(one["theirs"])
        if answer != one.get("ours", theirs):
            wrong.append((one, answer))
    assert wrong == []


def test_where_we_differ_from_ml_metadata_the_reason_is_one_of_those_given():
    differing = [one for one in MEASURED["queries"] if "ours" in one]
    assert {one["why"] for one in differing} == set(MEASURED["why"])
    assert len(differing) * 5 < len(MEASURED["queries"])


# A small store, and its own plain evaluation: by record, the values that each name in a query may stand for.

TEXTS = ["alpha", "Beta", "beta_1", "été", "a%b", "", "it's", "back\\slash", "zz\nz"]
NUMBERS = [-3, 0, 1, 2, 7]
DOUBLES = [-0.5, 0.0, 1.0, 2.5, 1e10]
RECORDS = [
    {
        "id": at + 1,
        "name": name,
        "uri": f"s3://{text}",
        "n": NUMBERS[at % 5] if at % 3 else None,
        "d": DOUBLES[at % 5] if at % 4 else None,
        "s": text if at % 5 else None,
        "b": bool(at % 2) if at % 4 != 1 else None,
        "contexts": [c for c in range(3) if (at + c) % 3 == 0 or at == 5],
        "events": [(x, t) for x, t in ((at % 2, EventType.INPUT), (2, EventType.OUTPUT)) if at % 4 != t % 4],
    }
    for at, (name, text) in enumerate(zip([None, "x1", "X1", "y", "x_1", "été", None, "z", "zz"], TEXTS, strict=True))
]
CONTEXTS = ["run-1", "run-2", "Pipe"]


@pytest.fixture(scope="module")
def store():
    """The small store, in memory."""
    with Ledger("sqlite://") as ledger:
        for x in range(3):
            ledger.put_execution(Execution("Step", name=f"step-{x}"))
        for record in RECORDS:
            properties = {key: record[key] for key in "ndsb" if record[key] is not None}
            artifact = Artifact("Thing", name=record["name"], uri=record["uri"], properties=properties)
            contexts = [Context("Run", CONTEXTS[c]) for c in record["contexts"]]
            put = ledger.put_execution(Execution("Maker"), [(artifact, EventType.INTERNAL_OUTPUT)], contexts)
            assert put.artifact_ids == (record["id"],)
            for x, type_ in record["events"]:
                step = ledger.get_executions(ids=[x + 1])[0]
                ledger.put_execution(step, [(record["id"], type_)])
        yield ledger


def choices(record, names):
    """Every choice of what the names stand for; none where there is nothing for one of them."""
    makers = {f"{c}": {"name": CONTEXTS[c], "type": "Run"} for c in range(3)}
    options = []
    for name in names:
        if name == "":
            options.append([{"id": record["id"], "name": record["name"], "uri": record["uri"], "type": "Thing"}])
        elif name.startswith("properties."):
            value = record[name[-1]]
            options.append([] if value is None else [{COLUMN[name[-1]]: value}])
        elif name.startswith("contexts_"):
            options.append([makers[f"{c}"] for c in record["contexts"]])
        else:
            own = {"execution_id": 3 + record["id"], "type": EventType.INTERNAL_OUTPUT}
            options.append([own, *({"execution_id": x + 1, "type": t} for x, t in record["events"])])
    return [dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*options)]


COLUMN = {"n": "int_value", "d": "double_value", "s": "string_value", "b": "bool_value"}
SIGNS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def written(value):
    """A value as a query spells it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # its escapes are GoogleSQL's too
    return {True: "TRUE", False: "false"}[value] if isinstance(value, bool) else repr(value)


def like(pattern):
    """The pattern as a regular expression."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    made = "".join({"%": ".*", "_": "."}.get(part, re.escape(part[-1])) for part in parts)
    return re.compile(made, re.DOTALL | re.IGNORECASE | re.ASCII)


def attributes():
    """(spelling, name it is of, column, values to compare it with)."""
    numbers, texts = st.sampled_from([*NUMBERS, *DOUBLES]), st.sampled_from([*TEXTS, "x1", "run-1", "Run", "Thing"])
    return st.sampled_from(
        [
            ("id", "", "id", numbers),
            ("name", "", "name", texts),
            ("`uri`", "", "uri", texts.map("s3://{}".format)),
            ("TYPE", "", "type", texts),
            ("properties.n.int_value", "properties.n", "int_value", numbers),
            ("properties.`d`.double_value", "properties.d", "double_value", numbers),
            ("properties.s.string_value", "properties.s", "string_value", texts),
            ("properties.s.int_value", "properties.s", "int_value", numbers),
            ("properties.b.bool_value", "properties.b", "bool_value", st.booleans()),
            ("contexts_a.name", "contexts_a", "name", texts),
            ("contexts_b.name", "contexts_b", "name", texts),
            ("contexts_b.type", "contexts_b", "type", texts),
            ("events_0.execution_id", "events_0", "execution_id", st.sampled_from([1, 2, 3, 4])),
        ]
    )


@st.composite
def conditions(draw):
    """(query, names it mentions, its truth for a choice of what they stand for: true, false or None)."""
    spelling, name, column, values = draw(attributes())
    kind = draw(st.sampled_from(["sign", "turned", "in", "null", "between", "like", "event"]))
    negated = draw(st.booleans())
    word, value = "NOT " if negated else "", draw(values)

    def truth(test):
        def of(choice):
            held = choice[name].get(column)
            return None if held is None else bool(test(held)) != negated

        return of

    if kind == "in":
        several = draw(st.lists(values, min_size=1, max_size=3))
        listed = ", ".join(map(written, several))
        return f"{spelling} {word}IN ({listed})", {name}, truth(lambda held: held in several)
    if kind == "null":
        test = lambda choice: (choice[name].get(column) is None) != negated  # noqa: E731  # one of several
        return f"{spelling} is {word}null", {name}, test
    if kind == "between" and not isinstance(value, bool):
        low, high = value, draw(values)
        query = f"{spelling} {word}BETWEEN {written(low)} AND {written(high)}"
        return query, {name}, truth(lambda held: low <= held <= high)
    if kind == "like" and isinstance(value, str):
        pattern = draw(st.sampled_from(["%", "X%", "%E%", "_1", "x\\_1", "a\\%b", "%\\\\%", "%\n%", "été", "ÉTÉ"]))
        test = truth(lambda held: like(pattern).fullmatch(held))
        return f"{spelling} {word}LIKE {written(pattern)}", {name}, test
    if kind == "event":
        types = draw(st.lists(st.sampled_from(EventType), min_size=1, max_size=2))
        listed = ", ".join(one.name for one in types)
        test = lambda choice: (choice["events_0"]["type"] in types) != negated  # noqa: E731  # as above
        return f"events_0.type {word}IN ({listed})", {"events_0"}, test
    sign, negated = draw(st.sampled_from(sorted(SIGNS))), False
    if kind == "turned":
        return f"{written(value)} {sign} {spelling}", {name}, truth(lambda held: SIGNS[sign](value, held))
    return f"{spelling}{sign}{written(value)}", {name}, truth(lambda held: SIGNS[sign](held, value))


def negation(part):
    query, names, truth = part
    return f"NOT ({query})", names, lambda choice: None if truth(choice) is None else not truth(choice)


def junction(word, stops):
    def made(parts):
        def truth(choice):
            found = [one(choice) for _, _, one in parts]
            return stops if stops in found else None if None in found else not stops

        return f" {word} ".join(f"({q})" for q, *_ in parts), set().union(*(n for _, n, _ in parts)), truth

    return made


def queries():
    return st.recursive(
        conditions(),
        lambda inner: st.one_of(
            inner.map(negation),
            st.lists(inner, min_size=2, max_size=3).map(junction("AND", stops=False)),
            st.lists(inner, min_size=2, max_size=3).map(junction("or", stops=True)),
        ),
        max_leaves=5,
    )


@given(queries())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_query_finds_the_records_for_which_some_choice_of_what_it_names_makes_it_true(store, made):
    query, names, truth = made
    names = sorted(names)
    expected = [r["id"] for r in RECORDS if any(truth(choice) is True for choice in choices(r, names))]
    assert ask(store, "artifact", query) == expected, query


WORDS = [
    "id",
    "name",
    "state",
    "LIVE",
    "contexts_a",
    ".",
    "type",
    "events_0.type",
    "properties.n.int_value",
    "(",
    ")",
    ",",
    "=",
    "<>",
    "IN",
    "NOT",
    "IS",
    "NULL",
    "LIKE",
    "BETWEEN",
    "AND",
    "OR",
    "TRUE",
    "1",
    "-",
    "1.5",
    "'x%'",
    "r'\\'",
    "'\\n'",
    "`",
    "'",
    "--",
    "/*",
    "\0",
    "é",
]


@given(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join) | st.text(max_size=12))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_at_all_is_answered_or_refused(store, query):
    answer = ask(store, "artifact", query)
    assert answer == "invalid" or set(answer) <= {record["id"] for record in RECORDS}


@pytest.mark.parametrize(
    ("kind", "query", "message"),
    [
        ("artifact", "nam = 'x'", "character 1: 'nam' is no attribute of an artifact .* Did you mean 'name'"),
        ("execution", "uri = 'x'", "character 1: 'uri' is no attribute of an execution"),
        ("context", "id = 1 AND contexts_a.name = 'x'", "character 12: 'contexts_a' is no attribute of a context"),
        ("artifact", "contexts_a.names = 'x'", "character 12: 'names' is no attribute of contexts_a.* 'name'"),
        ("artifact", "properties.x.text = 'x'", "character 1: 'text' is no attribute of a property"),
        ("artifact", "id = 'x'", "character 4: = cannot compare INT64 with STRING"),
        ("artifact", "name = NULL", "character 8: NULL cannot be compared: write IS NULL"),
        ("artifact", "name", "character 1: a condition is expected, not a STRING"),
        ("artifact", "id = 1 AND", "character 11: the end stands where an attribute or a value is expected"),
        ("artifact", "id = 1 name = 'x'", "character 8: 'name' stands where AND, OR or the end is expected"),
        ("artifact", "(id = 1", "character 8: the end stands where '\\)' is expected"),
        ("artifact", "id = 1 = TRUE", "character 8: put the comparison before it into parentheses"),
        ("artifact", "name = 'x", "character 8: the text is not closed"),
        ("artifact", "name = '\\q'", "character 8: the escape \\\\q is none"),
        ("artifact", "`contexts_a.b`.name = 'x'", "character 1: 'contexts_a.b' is no attribute of an artifact"),
        ("artifact", "name = '\\U0000_061'", "character 8: the escape"),
        ("artifact", "name LIKE '\\\\'", "character 11: the pattern ends in a single backslash"),
        ("artifact", "state = LIFE", "character 9: 'LIFE' is no attribute .*"),
        ("artifact", "state = INPUT", "character 9: 'INPUT' is none of these"),
        ("artifact", "name = LIVE", "character 8: 'LIVE' can only be compared with a state"),
        ("artifact", "id = 1; DROP TABLE Artifact", "character 7: ';' is not understood here"),
        ("artifact", "", "character 1: the end stands where"),
        ("artifact", "id = 99999999999999999999", "character 6: 99999999999999999999 is no whole number of 64 bits"),
        ("artifact", "NOT " * 60 + "id = 1", "nested more than 50 deep"),
        ("artifact", " OR ".join(["id = 1"] * 401), "more than 400 conditions"),
        ("artifact", f"id IN ({', '.join(['1'] * 10_001)})", "goes on after 20,000 words and signs"),
        ("artifact", " AND ".join(f"properties.p{n}.int_value = 1" for n in range(51)), "names more than 50 "),
    ],
)
def test_a_query_that_is_not_understood_is_refused_with_the_place_and_what_to_do(store, kind, query, message):
    find = {"artifact": store.get_artifacts, "execution": store.get_executions, "context": store.get_contexts}[kind]
    with pytest.raises(RecordError, match=message) as caught:
        find(filter_query=query)
    assert caught.value.problem == "invalid"


@pytest.mark.parametrize("ledger_url", ["memory", "mysql", "postgresql"], indirect=True)
def test_the_longest_queries_that_are_taken_can_be_answered_by_every_database(ledger_url):
    with Ledger(ledger_url) as ledger:
        ledger.put_execution(Execution("Step"), [(Artifact("Thing", properties={"p0": 7}), EventType.OUTPUT)])
        assert len(ledger.get_artifacts(filter_query=f"id IN ({', '.join(map(str, range(9_900)))})")) == 1
        assert len(ledger.get_artifacts(filter_query=" OR ".join(["properties.p0.int_value = 7"] * 400))) == 1
        assert (
            ledger.get_artifacts(filter_query=" AND ".join(f"properties.p{n}.int_value = 7" for n in range(50))) == []
        )
        assert len(ledger.get_artifacts(filter_query="(" * 49 + "NOT id = 5" + ")" * 49)) == 1


def test_nothing_in_a_query_reaches_the_database_as_sql(ledger_url):
    nasty = 'p" OR 1=1 --'
    with Ledger(ledger_url) as ledger:
        thing = Artifact("Thing", name="'; DROP TABLE Artifact; --", custom_properties={nasty: 1})
        ledger.put_execution(Execution("Step"), [(thing, EventType.OUTPUT)])
        ledger.put_execution(Execution("Step"), [(Artifact("Thing", name="other"), EventType.OUTPUT)])
        found = ledger.get_artifacts(filter_query=f"custom_properties.`{nasty}`.int_value = 1")
        assert [a.name for a in found] == [thing.name]
        assert [a.id for a in ledger.get_artifacts(filter_query='name = "\'; DROP TABLE Artifact; --"')] == [1]
        assert len(ledger.get_artifacts()) == 2


def test_values_that_a_database_holds_in_its_own_way_are_found_by_what_they_are(ledger_url):
    values = {
        "big": 2**40,
        "wide": 2.0**40,
        "nul": "a\0b",
        "long": "é" * 3_000,
        "inf": float("inf"),
        "odd": "mlmd-struct::no",
        "n": 5,
    }
    with Ledger(ledger_url) as ledger:
        ledger.put_execution(Execution("Step", properties=values))
        for query in (
            f"properties.big.int_value = {2**40}",
            f"{2**40} = properties.big.int_value",
            f"properties.wide.double_value = {2**40}",
            f"properties.big.int_value IN (1, {2**40})",
            f"properties.n.int_value IN (5, {2**40})",
            "properties.nul.string_value = 'a\\x00b'",
            f"properties.long.string_value = '{'é' * 3_000}'",
            "properties.odd.string_value = 'mlmd-struct::no'",
        ):
            assert [e.id for e in ledger.get_executions(filter_query=query)] == [1], query


def test_a_property_and_a_custom_property_of_one_name_are_two(ledger_url):
    with Ledger(ledger_url) as ledger:
        ledger.put_execution(Execution("Step", properties={"n": 1}, custom_properties={"n": 2}))
        asked = [f"{sort}.n.int_value = {n}" for sort in ("properties", "custom_properties") for n in (1, 2)]
        assert [len(ledger.get_executions(filter_query=query)) for query in asked] == [1, 0, 0, 1]


def test_conditions_of_a_query_and_others_all_hold(ledger_url):
    with Ledger(ledger_url) as ledger:
        for at in range(4):
            thing = Artifact(("Thing", "Other")[at % 2], name=f"{at}", properties={"n": at})
            ledger.put_execution(Execution("Step"), [(thing, EventType.OUTPUT)], [Context("Run", f"r{at // 2}")])
        query = "properties.n.int_value >= 1"
        assert [a.name for a in ledger.get_artifacts(type="Thing", filter_query=query)] == ["2"]
        assert [a.name for a in ledger.get_artifacts(context=("Run", "r0"), filter_query=query)] == ["1"]
        assert [a.name for a in ledger.get_artifacts(ids=[2, 4], newest_first=True, filter_query=query)] == ["3", "1"]
        assert [c.name for c in ledger.get_contexts(filter_query="artifacts_a.name = '3'")] == ["r1"]


def test_the_queries_that_the_page_shows_are_understood(store):
    shown = re.findall(r'get_(\w+)s\(filter_query="(.+)"\)', PAGE.read_text("utf-8"))
    assert len(shown) == 3
    assert [ask(store, kind, query) for kind, query in shown] == [[], [], []]
