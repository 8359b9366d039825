"""What each column is made from: said by its configuration, asked of polars, or honestly not known."""

import hashlib
import json
import textwrap

import polars as pl
import polars.selectors as cs
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.cli import program
from lakehouse.columns import ALL, SAFE, Column, find, from_json, of_mapping, personal, reads, to_json
from lakehouse.errors import ConfigError, NotFoundError
from lakehouse.schema import Schema
from lakehouse.validation import Mapping, check

NAMES = ("a", "b", "c", "d")


def schema(**features):
    return Schema.model_validate({"features": features})


NUMBERS = schema(
    **{name: {"type": "int"} for name in NAMES}, x={"type": "int", "presence": "optional", "computed": True}
)


def digits(value):
    return value.map_elements(lambda number: len(str(number)), return_dtype=pl.Int64)


def test_a_column_keeps_its_name_or_is_renamed_or_computed():
    made = of_mapping(
        schema(a={"type": "int"}, late={"type": "int", "default": 0}, x={"type": "int"}, one={"type": "int"}),
        rename={"delay": "late"},
        derive={"x": "a - COALESCE(late, 1) - a", "one": "1"},
    )
    assert made == {
        "a": Column("identity", ("a",)),
        "late": Column("rename", ("delay",), by="default 0"),
        "x": Column("expression", ("a", "delay"), ("a", "late"), "a - COALESCE(late, 1) - a"),
        "one": Column("expression", (), (), "1"),
    }
    assert from_json(to_json(made)) == made


def test_an_expression_that_picks_columns_by_pattern_may_be_made_from_every_column():
    made = of_mapping(NUMBERS, derive={"x": "COALESCE(COLUMNS('a|b'))"})
    assert made["x"].inputs == (ALL,)
    assert not made["x"].certain


def test_columns_taken_along_are_made_from_their_own():
    made = of_mapping(schema(a={"type": "int"}), others=True)
    assert find(made, "anything") == Column("identity", ("anything",))
    assert find(of_mapping(schema(a={"type": "int"})), "anything") is None


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda f: f.with_columns(x=pl.col.a + 1), {"x": ("a",)}),
        (lambda f: f.with_columns(x=pl.lit(1)), {"x": ()}),
        (lambda f: f.with_columns(x=pl.col.a.sum().over("b")), {"x": ("a", "b")}),
        (lambda f: f.with_columns(x=pl.when(pl.col.a > 0).then(pl.col.b)), {"x": ("a", "b")}),
        (lambda f: f.with_columns(y=pl.col.a).with_columns(x=pl.col.y * pl.col.c), {"x": ("a", "c"), "y": ("a",)}),
        (lambda f: f.with_columns(x=digits(pl.col.d)), {"x": ("d",)}),
        (lambda f: f.with_columns(a=pl.col.a * 2, x=pl.col.a), {"a": ("a",), "x": ("a",)}),
        (lambda f: f.with_columns(x=pl.struct("a", "b").struct.field("b")), {"x": ("a", "b")}),
        (lambda f: f.with_columns(x="_row"), {"x": ()}),
        (
            lambda f: f.join(f.group_by("a").agg(x=pl.col.c.max()), on="a", how="left", maintain_order="left"),
            {"a": ("a",), "b": ("a", "b"), "c": ("a", "c"), "d": ("a", "d"), "x": ("a", "c")},
        ),
        (lambda f: f.with_columns(x=1).sort("b"), dict.fromkeys(("a", "c", "d"), None) | {"b": ("b",), "x": ("b",)}),
        (
            lambda f: f.map_batches(
                lambda frame: frame.with_columns(x=frame["a"]), schema={**f.collect_schema(), "x": pl.Int64}
            ),
            dict.fromkeys((*NAMES, "x"), (ALL,)),
        ),
        (lambda f: f.with_columns(x=pl.concat_str(cs.string())), {"x": (ALL,)}),  # also of what is no feature
        (lambda f: f.with_columns(x=pl.struct(pl.all()).hash()), {"x": (ALL,)}),
        (lambda f: f.with_columns(cs.string().str.to_lowercase(), cs.numeric() * 2), {n: (n,) for n in NAMES}),
        (lambda f: f.rename({"a": "b", "b": "a"}), {"a": ("b",), "b": ("a",)}),
        (lambda f: f.collect().lazy().with_columns(x=1), None),
        (lambda f: f.with_columns(x=pl.lit(f.select("a").collect().height)), None),
        (lambda f: f.with_columns(x=pl.col("nothing")), None),
        (lambda f: f.nothing, None),
    ],
)
def test_polars_tells_which_columns_a_function_reads(function, expected):
    found = reads(function, dict.fromkeys(NAMES, pl.Int64()))
    if expected is None:
        assert found is None
        return
    own = {name: columns for name, columns in found.items() if not name.startswith("_")}
    expected = {name: (name, "b") if columns is None else columns for name, columns in expected.items()}
    assert {n: set(c) for n, c in own.items()} == {n: set(c) for n, c in expected.items()}


def test_the_number_of_rows_is_no_column():
    assert reads(lambda f: f.with_columns(x=1, y=pl.len()), {"flag": pl.Boolean()}) == {"x": (), "y": ()}


def test_a_column_that_is_no_feature_is_made_from_what_the_function_makes_it_from():
    made = of_mapping(NUMBERS, function=lambda f: f.with_columns(x=1, gate=pl.col.a), name="jobs.f", others=True)
    assert find(made, "gate") == Column("function", ("a",), ("a",), "jobs.f")
    assert find(made, "other") == Column("identity", ("other",))


def test_a_declared_function_is_believed_and_leaves_other_columns_as_they_are():
    made = of_mapping(
        NUMBERS, rename={"A": "a"}, function=lambda f: f.collect().lazy(), name="jobs.f", declared={"x": ["a", "b"]}
    )
    assert made["x"] == Column("function", ("A", "b"), ("a", "b"), "jobs.f")
    assert made["c"] == Column("identity", ("c",))


def test_what_cannot_be_known_of_a_function_is_perhaps_made_from_every_column():
    made = of_mapping(NUMBERS, function=lambda f: f.collect().lazy(), name="jobs.f", others=True)
    assert {column.inputs for column in made.values()} == {(ALL,)}
    assert not any(column.certain for column in made.values())
    partly = of_mapping(NUMBERS, function=lambda f: f, declared={"a": ["a"]})
    assert partly["x"].inputs == (ALL,)
    assert partly["b"].inputs == ("b",)


COLUMNS = st.sampled_from(NAMES)
SQL = st.recursive(
    COLUMNS | st.integers(-9, 9).map(lambda n: f"({n})"),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner),
        st.builds("(CASE WHEN {0} > {1} THEN {2} ELSE {1} END)".format, inner, inner, inner),
        st.builds("COALESCE({}, {})".format, inner, inner),
        st.builds("ABS({})".format, inner),
    ),
    max_leaves=6,
)
CELL = st.integers(-99, 99).map(str) | st.none()
ROWS = st.fixed_dictionaries({name: st.lists(CELL, min_size=5, max_size=5) for name in NAMES})
FEATURES = schema(**{n: {"type": "int", "presence": "optional", "computed": n == "x"} for n in (*NAMES, "x")})


WINDOW = st.builds("MAX({}) OVER (PARTITION BY {})".format, SQL, COLUMNS)
CHANGE = st.tuples(ROWS, COLUMNS, ROWS)  # a table, and what one of its columns becomes
THEN = st.sampled_from([None, digits, pl.Expr.cum_sum])


def curated(mapping, table):
    """What a dataset makes of a raw file's text, valid or not."""
    text = pl.LazyFrame(table, schema=dict.fromkeys(table, pl.String)).with_columns(
        _raw=pl.lit("raw"), _row=pl.int_range(1, pl.len() + 1)
    )
    checked = check(text, dict.fromkeys(table, pl.String()), mapping).rows
    return checked.select(*mapping.schema.features).collect(optimizations=SAFE)


def changed(mapping, made, table, column, other):
    """The columns that change with a column of the raw file though they are not made from it."""
    return [n for n in different(mapping, table, column, other) if not made[n].reads_from(column)]


def different(mapping, table, column, other):
    """The columns that change with a column of the raw file."""
    before, after = curated(mapping, table), curated(mapping, {**table, column: other[column]})
    return [n for n in before.columns if not before[n].equals(after[n])]


@settings(deadline=None, max_examples=100)
@given(SQL, CHANGE)
def test_no_other_column_of_a_raw_file_changes_a_derived_column(sql, change):
    derive, rename = {"x": f"CAST({sql} AS BIGINT)"}, {"b": "a", "a": "b"}  # what is called a is the file's b
    made = of_mapping(FEATURES, rename=rename, derive=derive)
    assert changed(Mapping(FEATURES, rename=rename, derive=derive), made, *change) == []


@settings(deadline=None, max_examples=100)
@given(SQL | WINDOW, SQL | WINDOW, THEN, CHANGE)
def test_no_other_column_of_a_raw_file_changes_what_a_function_makes(one, two, then, change):
    def function(frame):
        made = pl.sql_expr(one)
        return frame.with_columns(x=(then(made) if then else made).cast(pl.Int64), a=pl.sql_expr(two).cast(pl.Int64))

    made = of_mapping(FEATURES, function=function)
    assert all(of_one.certain for of_one in made.values())
    assert changed(Mapping(FEATURES, function=function), made, *change) == []


@settings(deadline=None, max_examples=60)
@given(SQL, SQL, st.lists(SQL, min_size=3, max_size=3), CHANGE)
def test_whatever_changes_with_what_is_personal_is_personal(expression, other, changes, change):
    """A raw column is marked under the name it is renamed to; an expression and then a function use it."""
    features = schema(
        **{n: {"type": "int", "presence": "optional"} for n in (*NAMES, "derived")},
        x={"type": "int", "presence": "optional", "computed": True},
    )
    rename, derive = {"b": "a", "a": "b"}, {"derived": f"CAST({expression} AS BIGINT)"}

    def function(frame):
        one, two, three = (pl.sql_expr(sql.replace("d", "derived")).cast(pl.Int64) for sql in changes)
        made = pl.sql_expr(other).cast(pl.Int64)
        return frame.with_columns(a=one, derived=two, c=three, x=made + pl.col("derived"))

    made = of_mapping(features, rename=rename, derive=derive, function=function)
    table, column, after = change
    held = personal(made, {rename.get(column, column): True})
    mapping = Mapping(features, rename=rename, derive=derive, function=function)
    assert not [name for name in different(mapping, table, column, after) if name not in held]


DERIVED = """
    source: flights
    rename: {dep_delay: late}
    derive: {lost: late * 2 + flight}
    schema:
      features:
        time_hour: {type: datetime}
        carrier: {type: string}
        flight: {type: int}
        late: {type: int, presence: optional}
        lost: {type: int, presence: optional}
        first: {type: string, presence: optional, computed: true}
"""
FUNCTION = "import polars as pl\ndef curate(f):\n    return f.with_columns(first=pl.col('carrier').str.head(1))\n"


@pytest.fixture
def derived(project):
    """A project whose flights are renamed, derived and computed by a function; one file landed and curated."""
    job = project.folder / f"jobs_{hashlib.sha256(str(project.folder).encode()).hexdigest()[:8]}.py"
    job.write_text(FUNCTION)
    project.configure(f"datasets/{project.flights}", textwrap.dedent(DERIVED) + f"curate: {job.stem}.curate")
    project.deliver("morning.csv", project.morning)
    project.run()
    return project


def edges(lineage):
    return {(edge.source, edge.target): edge.label for edge in lineage.edges}


def test_a_column_leads_through_expressions_and_renames_to_columns_of_raw_files(derived):
    with derived.lake() as lake:
        lost = lake.lineage(derived.flights, column="lost")
        first = lake.lineage(f"{derived.flights}@0", column="first", direction="up")
    assert edges(lost) == {
        ("aviation/flights.late", "aviation/flights.lost"): "= late * 2 + flight",
        ("aviation/flights.flight", "aviation/flights.lost"): "= late * 2 + flight",
        ("source:flights.dep_delay", "aviation/flights.late"): "renamed",
        ("source:flights.flight", "aviation/flights.flight"): "",
        ("source:flights", "source:flights.dep_delay"): "",
        ("source:flights", "source:flights.flight"): "",
    }
    assert "RawColumn flights.dep_delay [renamed]" in str(lost)
    assert {node.id for node in first.nodes if node.kind == "RawColumn"} == {"source:flights.carrier"}
    assert edges(first)["aviation/flights.carrier", "aviation/flights.first"].endswith(".curate")


def test_a_column_of_a_raw_file_leads_down_to_what_steps_made_of_it(derived):
    with derived.lake() as lake:
        with lake.execution("Train", inputs={derived.flights: ["lost"]}) as train:
            train.output("Model", "s3://model", name="delay")
        with lake.execution("Score", inputs=["Model:delay"]) as score:
            score.output("Scores", "s3://scores", name="all")
        with lake.execution("Count", inputs={derived.flights: ["carrier"]}) as count:
            count.output("Count", "s3://count", name="all")
        with lake.execution("Look", inputs=[derived.flights]) as look:
            pass
        sha = hashlib.sha256(derived.morning.encode()).hexdigest()
        delay = lake.lineage(sha, column="dep_delay")
        carrier = lake.lineage(sha, column="carrier", direction="down")
    nodes = {node.id for node in delay.downstream().nodes}
    assert nodes == {
        "source:flights.dep_delay",
        "aviation/flights.late",
        "aviation/flights.lost",
        f"execution:{train.id}",
        "Model:delay@0",
        f"execution:{score.id}",
        "Scores:all@0",
        f"execution:{look.id}",
    }
    assert edges(delay)["aviation/flights.lost", f"execution:{train.id}"] == "reads it of aviation/flights@0"
    assert edges(delay)["aviation/flights.lost", f"execution:{look.id}"] == "perhaps reads it of aviation/flights@0"
    assert {"Count:all@0", "aviation/flights.first"} <= {node.id for node in carrier.nodes}
    assert f"execution:{train.id}" not in {node.id for node in carrier.nodes}
    assert [node.id for node in delay.upstream().nodes] == [f"raw:flights/{sha}", "source:flights.dep_delay"]


def test_every_version_answers_by_what_it_was_made_with(derived):
    derived.change(f"datasets/{derived.flights}", "late * 2 + flight", "late * 3")
    derived.deliver("noon.csv", derived.noon)
    derived.run()
    with derived.lake() as lake:
        both = lake.lineage(derived.flights, column="lost")
        old = lake.lineage(f"{derived.flights}@0", column="lost")
        new = lake.lineage(f"{derived.flights}@1", column="lost")
        lake.curate(derived.flights, again=True)
        again = lake.lineage(f"{derived.flights}@2", column="lost")
    label = edges(both)["aviation/flights.late", "aviation/flights.lost"]
    assert label == "= late * 2 + flight (since version 0); = late * 3 (since version 1)"
    assert set(edges(new)) == set(edges(both))  # it shows the older rows too
    assert edges(old)["aviation/flights.late", "aviation/flights.lost"] == "= late * 2 + flight"
    assert edges(again)["aviation/flights.late", "aviation/flights.lost"] == "= late * 3"
    assert ("aviation/flights.flight", "aviation/flights.lost") not in edges(again)


def test_an_opaque_function_may_make_its_columns_from_all_unless_they_are_declared(derived):
    job = next(derived.folder.glob("jobs_*.py"))
    opaque = job.with_name(f"{job.stem}_opaque.py")
    opaque.write_text(FUNCTION.replace("return f.", "return f.collect().lazy()."))
    derived.change(f"datasets/{derived.flights}", job.stem, opaque.stem)
    with derived.lake() as lake:
        lake.curate(derived.flights, again=True)
        unknown = lake.lineage(f"{derived.flights}@1", column="first")
        raw = lake.lineage(hashlib.sha256(derived.morning.encode()).hexdigest(), column="flight", direction="down")
    assert edges(unknown)["source:flights.*", "aviation/flights.first"] == f"perhaps: {opaque.stem}.curate"
    assert ("source:flights.flight", "aviation/flights.first") in edges(raw)
    derived.change(f"datasets/{derived.flights}", "", "columns: {first: [carrier]}")
    with derived.lake() as lake:
        lake.curate(derived.flights, again=True)
        declared = lake.lineage(f"{derived.flights}@2", column="first")
        assert edges(lake.lineage(f"{derived.flights}@1", column="first")) == edges(unknown)
    assert {node.id for node in declared.nodes if node.kind == "RawColumn"} == {"source:flights.carrier"}


def test_declaring_columns_changes_no_row_and_takes_nothing_in_again(derived):
    derived.change(f"datasets/{derived.flights}", "", "columns: {first: [carrier]}")
    with derived.lake() as lake:
        assert lake.curate(derived.flights).notes == ()


def test_a_function_sees_columns_as_they_were_before_its_own_changes(derived):
    """Polars 2.1 merges layers of columns so that `lost` gets the flight that was changed beside it."""
    job = next(derived.folder.glob("jobs_*.py"))
    swapping = job.with_name(f"{job.stem}_swapping.py")
    swapping.write_text(
        "import polars as pl\ndef curate(f):\n    old, lost = pl.col('flight'), pl.col('lost')\n"
        "    return f.with_columns(lost=old, flight=pl.col('late'), first=lost.cast(pl.String))\n"
    )
    derived.change(f"datasets/{derived.flights}", job.stem, swapping.stem)
    with derived.lake() as lake:
        lake.curate(derived.flights, again=True)
        rows = lake.read(derived.flights).select("lost", "flight", "first").sort("lost").rows()
        found = lake.lineage(derived.flights + "@1", column="lost")
    assert rows == [(1141, -1, "1139"), (1545, 2, "1549")]
    assert {node.id for node in found.nodes if node.kind == "RawColumn"} == {"source:flights.flight"}


def test_columns_that_are_taken_along_are_made_from_their_own(project):
    project.change(f"datasets/{project.flights}", "keys:", "new_columns: add\nkeys:")
    project.deliver(
        "a.csv",
        project.morning.replace("dep_delay", "dep_delay,gate").replace("2\n", "2,A1\n").replace("-1\n", "-1,B2\n"),
    )
    project.run()
    with project.lake() as lake:
        assert ("source:flights.gate", "aviation/flights.gate") in edges(lake.lineage(project.flights, column="gate"))
        sha = lake.show("flights", "source").raw[0].sha256
        assert ("source:flights.gate", "aviation/flights.gate") in edges(lake.lineage(sha, column="gate"))


@pytest.mark.parametrize(
    ("what", "column", "hint"),
    [
        ("aviation/flights", "losst", "aviation/flights has no column 'losst'. Did you mean 'lost'"),
        ("aviation/flights@0", "nothing", "aviation/flights@0 has no column 'nothing'"),
        ("raw", "dep_dely", "no dataset takes a column 'dep_dely' from this raw file.*Did you mean 'dep_delay'"),
        ("Model:a", "x", "has no columns that are known"),
    ],
)
def test_a_column_that_is_not_there_is_an_error_that_suggests_one(derived, what, column, hint):
    with derived.lake() as lake:
        with lake.execution("Train") as run:
            run.output("Model", "s3://a", name="a")
        name = hashlib.sha256(derived.morning.encode()).hexdigest() if what == "raw" else what
        with pytest.raises(NotFoundError, match=hint):
            lake.lineage(name, column=column)


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ("{frist: [carrier]}", "columns.frist.*'frist' is not a feature. Did you mean 'first'"),
        ("{first: [carier]}", "'carier' is not a feature. Did you mean 'carrier'"),
        ("{first: [first]}", "'first' is made by the function itself"),
        ("{first: carrier}", "columns.first"),
    ],
)
def test_declared_columns_must_be_features_that_the_function_is_given(derived, columns, problem):
    derived.change(f"datasets/{derived.flights}", "", f"columns: {columns}")
    with pytest.raises(ConfigError, match=problem):
        derived.lake()


def test_columns_are_declared_of_a_function_only(project):
    project.change(f"datasets/{project.flights}", "", "columns: {flight: [flight]}")
    with pytest.raises(ConfigError, match="there is no `curate`"):
        project.lake()


def test_the_command_tells_a_columns_lineage(derived, monkeypatch):
    monkeypatch.chdir(derived.folder)
    asked = ["lineage", derived.flights, "--column", "lost", "--up", "--format", "json"]
    told = json.loads(CliRunner().invoke(program, asked, catch_exceptions=False).output)
    assert told["focus"] == ["aviation/flights.lost"]
    assert {"source:flights.dep_delay", "source:flights.flight"} <= {node["id"] for node in told["nodes"]}


def test_a_pattern_in_an_expression_leads_down_from_every_column(derived):
    derived.change(f"datasets/{derived.flights}", "late * 2 + flight", "COLUMNS('^late$') * 2")
    with derived.lake() as lake:
        lake.curate(derived.flights, again=True)
        found = lake.lineage(f"{derived.flights}@1", column="late", direction="down")
    assert edges(found)["aviation/flights.late", "aviation/flights.lost"] == "perhaps = COLUMNS('^late$') * 2"


def test_an_expression_cannot_read_what_the_function_makes_after_it(derived):
    derived.change(f"datasets/{derived.flights}", "late * 2 + flight", "LENGTH(first)")
    with pytest.raises(ConfigError, match="reads 'first', which is made by the function, which runs after"):
        derived.lake()


def test_a_column_leads_past_a_step_that_was_deleted(derived):
    sha = hashlib.sha256(derived.morning.encode()).hexdigest()
    with derived.lake() as lake:
        with lake.execution("Train", inputs={derived.flights: ["lost"]}) as train:
            train.output("Model", "s3://model", name="delay")
        with lake.execution("Look", inputs=[sha]) as look:
            look.output("Report", "s3://report", name="it")
        lake._site.ledger.delete(execution_ids=[train.id, look.id], reason="a mistake")
        found = lake.lineage(derived.flights, column="lost", direction="down")
        raw = lake.lineage(sha, column="dep_delay", direction="down")
    assert "Model:delay@0" in {node.id for node in found.nodes}
    assert edges(found)["aviation/flights.lost", f"execution:{train.id}"] == "perhaps reads it of aviation/flights@0"
    assert {"Model:delay@0", "Report:it@0"} <= {node.id for node in raw.nodes}
