"""What `generate_statistics` says of a frame's rows."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import UTC, date, datetime
from io import BytesIO

import polars as pl
import pytest

from lakehouse import Schema, Statistics, generate_statistics
from lakehouse.errors import FormatError, NotFoundError, SchemaError
from lakehouse.schema import FeatureType, Rule
from lakehouse.validation.statistics import Histogram, gathering, registers, storing


def _one(values, dtype=None, **options):
    return generate_statistics(pl.DataFrame({"x": pl.Series(values, dtype=dtype)}), **options).features["x"]


def test_figures_of_numbers():
    found = _one([1.0, 2.0, 2.0, math.nan, math.inf, None, 0.0])
    assert (found.rows, found.count, found.missing, found.missing_fraction) == (7, 6, 1, 1 / 7)
    numbers = found.numbers
    assert (numbers.min, numbers.max, numbers.mean, numbers.median, numbers.zeros) == (0.0, 2.0, 1.25, 1.5, 1)
    assert (numbers.nan, numbers.infinite, numbers.count) == (1, 1, 4)
    assert numbers.std == pytest.approx(math.sqrt(0.6875))
    assert found.top(1) == [(2.0, 2)]
    assert found.histogram(2) == Histogram((0.0, 1.0, 2.0), (1.0, 3.0))
    assert found.histogram(2, low=1.0, high=2.0) == Histogram((1.0, 1.5, 2.0), (1.0, 2.0))
    assert found.equal_depth(2) == Histogram((0.0, 1.5, 2.0), (2.0, 2.0))


def test_figures_of_texts_bytes_and_lists():
    frame = pl.DataFrame({"s": ["å", "abc", None], "b": [b"", b"ab", b"ab"], "l": [[1, None], [], None]})
    found = generate_statistics(frame).features
    assert (found["s"].lengths.min, found["s"].lengths.mean, found["s"].lengths.max) == (1, 2.0, 3)
    assert (found["b"].lengths.max, found["b"].distinct.count) == (2, 2)
    assert found["l"].repeated
    assert (found["l"].missing, found["l"].values, found["l"].valency.counts) == (1, 1, {0: 1, 1: 1})


def test_figures_of_moments():
    found = _one([datetime(2013, 1, 1, 23, tzinfo=UTC), datetime(2013, 1, 4, tzinfo=UTC)])
    assert (found.moments.min, found.moments.days) == (datetime(2013, 1, 1, 23, tzinfo=UTC), 2)
    assert (found.moments.gap.after, found.moments.gap.days) == (date(2013, 1, 1), 2)
    assert found.quantile(0.0) == datetime(2013, 1, 1, 23, tzinfo=UTC).timestamp() * 1e6
    assert _one([date(1970, 1, 3), date(1970, 1, 5)]).quantile(0.5) == 3.0


def test_what_lies_in_structs_has_a_dotted_path():
    rows = [{"a": {"n": 1}, "s": [{"c": "x"}, {"c": None}]}, {"a": None, "s": None}]
    found = generate_statistics(pl.DataFrame(rows)).features
    assert list(found) == ["a", "a.n", "s", "s.c"]
    assert (found["a"].type, found["a"].missing, found["a.n"].missing) == (FeatureType.STRUCT, 1, 1)
    assert (found["s"].valency.max, found["s.c"].rows, found["s.c"].missing) == (2, 2, 1)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "-20", ""], FeatureType.INT),
        (["1", "2.5", "nan", "1e3"], FeatureType.FLOAT),
        (["1", "x"], FeatureType.STRING),
        (["007", "1"], FeatureType.STRING),
        (["+47", "1"], FeatureType.STRING),
        (["9223372036854775808"], FeatureType.STRING),
        (["1e999"], FeatureType.STRING),
        (["", None], None),
    ],
)
@pytest.mark.parametrize("lists", [False, True])
def test_the_type_of_text_is_that_of_all_its_values(texts, kind, lists):
    frame = pl.DataFrame({"x": texts}, schema={"x": pl.String})
    found = generate_statistics(frame.select(pl.col("x").implode()) if lists else frame).features["x"]
    assert found.type is kind
    assert found.values == sum(bool(text) for text in texts)


def test_many_texts_are_read_as_numbers_too():
    numbers = pl.int_range(50_000, eager=True)
    frame = pl.DataFrame(
        {"n": numbers.cast(pl.String), "f": (numbers + 0.5).cast(pl.String), "s": "a" + numbers.cast(pl.String)}
    )
    found = generate_statistics(frame).features
    assert [one.type.value for one in found.values()] == ["int", "float", "string"]
    assert not any(one.complete for one in found.values())
    assert (found["n"].numbers.max, found["f"].numbers.mean) == (49_999, 25_000.0)
    assert found["n"].histogram().counts == (5000.0,) * 10
    assert found["n"].histogram().exact


def test_a_column_that_fills_late_is_told_as_any_other():
    rows = pl.int_range(400_000, eager=True)
    late = pl.when(pl.col("n") >= 200_000).then("n").alias("late")
    found = generate_statistics(pl.DataFrame({"n": rows}).select(late, even=pl.col("n") % 2)).features
    assert (found["late"].missing, found["late"].low, found["late"].complete) == (200_000, 200_000, False)
    assert found["late"].numbers.mean == 299_999.5
    assert found["late"].histogram().counts == (20_000.0,) * 10
    assert found["even"].top(2) == [(0, 200_000), (1, 200_000)]


def test_statistics_without_a_schema_start_without_what_reads_schemas():
    asked = "import lakehouse, sys; lakehouse.generate_statistics; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0


def test_a_typed_frame_keeps_its_types():
    frame = pl.DataFrame({"s": ["1", ""], "n": [1, 2]})
    found = generate_statistics(frame).features["s"]
    assert (found.type, found.missing) == (FeatureType.STRING, 0)
    assert _one([None], pl.Int64).type is FeatureType.INT


def test_what_is_frequent_among_many_values_is_found_and_counted_exactly():
    many = pl.int_range(200_000, eager=True)
    often = pl.Series([-1] * 3_000 + [-2] * 500)
    found = generate_statistics(pl.DataFrame({"n": pl.concat([many, often])})).features["n"]
    assert found.top(2) == [(-1, 3_000), (-2, 500)]
    assert 1 <= found.unlisted < 500
    assert found.undercount == 0


def test_a_csv_is_written_down_once_and_nothing_stays(tmp_path):
    file, scratch = tmp_path / "x.csv", tmp_path / "scratch"
    file.write_text("a,b\n1,x\n,y\n")
    scratch.mkdir()
    found = generate_statistics(pl.scan_csv(file, infer_schema=False), slices=["b"], scratch=scratch)
    assert [one.type.value for one in found.features.values()] == ["int", "string"]
    assert list(found.slices) == ["b=x", "b=y"]
    assert list(scratch.iterdir()) == []


def test_slices_have_the_types_of_the_whole():
    frame = pl.DataFrame({"k": ["a", "b", "b", None], "n": ["1", "x", "2", "3"]})
    found = generate_statistics(frame, slices=["k"])
    assert [(name, part.rows) for name, part in found.slices.items()] == [("k=a", 1), ("k=b", 2)]
    assert found.slices["k=a"].features["n"].type is FeatureType.STRING
    both = found + generate_statistics(pl.DataFrame({"k": ["b"], "n": ["y"]}), slices=["k"])
    assert both.slices["k=b"].features["n"].distinct.count == 3
    assert Statistics.read(both.to_bytes()).slices["k=b"] == both.slices["k=b"]


def test_weights_count_for_rows():
    frame = pl.DataFrame({"n": [1, 2, None], "s": ["a", "b", "b"], "w": [1.0, 3.0, 4.0]})
    found = generate_statistics(frame, weight="w")
    n, s = found.features["n"].weighted, found.features["s"].weighted
    assert (found.weight, n.count, n.missing, n.mean, n.median) == (8.0, 4.0, 4.0, 1.75, 2.0)
    assert n.std == pytest.approx(math.sqrt(0.1875))
    assert s.top == (("b", 7.0), ("a", 1.0))
    assert (generate_statistics(frame[:1], weight="w") + generate_statistics(frame[1:], weight="w")) == found
    assert Statistics.read(found.to_bytes()).features["n"].weighted == n


@pytest.mark.parametrize("weights", [[1.0, None], [1.0, -1.0], [1.0, math.nan], ["1", "x"]])
def test_a_row_without_a_weight_is_told(weights):
    with pytest.raises(SchemaError, match=r"weight 'w': 1 rows have none, or one below 0"):
        generate_statistics(pl.DataFrame({"n": ["1", "2"], "w": weights}), weight="w")


def test_what_is_no_column_is_told():
    with pytest.raises(NotFoundError, match=r"no column 'orign'\. Did you mean 'origin'\?"):
        generate_statistics(pl.DataFrame({"origin": ["EWR"]}), slices=["orign"])


def test_nothing_of_a_personal_feature_is_kept_but_how_many():
    frame = pl.DataFrame({"name": ["Ada", "Bob", "Bob", None], "n": [1, 2, 3, 4]})
    found = generate_statistics(frame, personal=["name"])
    name = found.features["name"]
    assert (name.missing, name.distinct.count, name.distinct.exact, name.complete) == (1, 2, True, False)
    assert (name.top(9), name.lengths, name.numbers, len(name.frequencies())) == ([], None, None, 0)
    data = found.to_bytes()
    assert "Ada" not in str(pl.read_parquet(BytesIO(data)).rows())
    assert "Ada" not in str(pl.read_parquet_metadata(BytesIO(data)))
    twice = (found + found).features["name"].distinct
    assert (twice.count, twice.exact, twice.error) == (3, False, 1 / 3)  # 2 to 4
    with pytest.raises(SchemaError, match="'name' is personal"):
        generate_statistics(frame, personal=["name"], slices=["name"])


def test_a_schema_types_its_features_and_tells_what_breaks():
    features = {
        "n": {"type": "int", "domain": {"max": 5}},
        "at": {"type": "date", "presence": "optional"},
        "tags": {"type": "list[int]", "separator": ";", "presence": "optional"},
        "secret": {"type": "string", "personal": True, "domain": ["a"]},
        "gone": {"type": "string", "presence": "optional"},
    }
    schema = Schema.model_validate({"features": features})
    frame = pl.DataFrame(
        {
            "new": ["1", "2", "3"],
            "n": ["1", "9", "x"],
            "at": ["2013-01-01", None, "2013-01-02"],
            "tags": ["1;2", "", None],
            "secret": ["a", "q", "a"],
        }
    )
    found = generate_statistics(frame, schema=schema)
    assert list(found.features) == ["new", "n", "at", "tags", "secret"]
    kinds = [(one.type.value, one.repeated) for one in found.features.values()]
    assert kinds == [("int", False), ("int", False), ("date", False), ("int", True), ("string", False)]
    assert (found.absent, found.unknown, found.judged) == (("gone",), ("new",), True)
    assert found.features["n"].missing == 1
    told = {(one.path, one.rule): (one.rows, one.examples) for one in found.broken}
    assert told[("n", Rule.TYPE)] == (1, (("x", 1),))
    assert told[("n", Rule.DOMAIN)] == (1, (("9", 1),))
    assert told[("secret", Rule.DOMAIN)] == (1, ())
    assert Statistics.read(found.to_bytes()) == found
    assert (found + found).broken[0].rows == 2 * found.broken[0].rows


def test_without_rules_typed_rows_are_only_counted():
    schema = Schema.model_validate({"features": {"n": {"type": "int", "domain": {"max": 1}}}})
    found = generate_statistics(pl.DataFrame({"n": [1, 2]}), schema=schema, rules=False)
    assert (found.broken, found.judged, found.features["n"].numbers.max) == ((), False, 2)


def test_reading_what_is_no_such_file_is_told(tmp_path):
    with pytest.raises(FormatError, match="not a Parquet file"):
        Statistics.read(b"nonsense")
    other = tmp_path / "other.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(other)
    with pytest.raises(FormatError, match=r"none that `Statistics\.write` made"):
        Statistics.read(other)


def test_a_newer_form_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "s.parquet"
    generate_statistics(pl.DataFrame({"a": [1]})).write(file)
    assert Statistics.read(file).features["a"].top(1) == [(1, 1)]
    monkeypatch.setattr(storing, "FORM", 0)
    with pytest.raises(FormatError, match="Install a newer one"):
        Statistics.read(file)


def test_figures_are_read_without_the_rows(monkeypatch):
    data = generate_statistics(pl.DataFrame({"a": [1, 2], "d": [date(2013, 1, 1)] * 2})).to_bytes()
    monkeypatch.setattr(storing.pl, "read_parquet", lambda *_, **__: pytest.fail("read the rows"))
    found = Statistics.read(data).features
    assert (found["a"].numbers.mean, found["a"].distinct.count, found["d"].moments.days) == (1.5, 2, 1)


def test_registers_of_another_hash_do_not_pretend_to_add_up(monkeypatch):
    frame = pl.DataFrame({"n": pl.int_range(40_000, eager=True)})
    old = generate_statistics(frame)
    monkeypatch.setattr(registers, "fingerprint", lambda: "another")
    monkeypatch.setattr("lakehouse.validation.statistics.feature.fingerprint", lambda: "another")
    data = old.to_bytes()
    said = json.loads(pl.read_parquet_metadata(BytesIO(data))["lakehouse.statistics"])
    assert said["features"][""][0]["hashing"] != "another"
    monkeypatch.undo()
    patched = data.replace(registers.fingerprint().encode(), b"0" * 16)
    older = Statistics.read(patched)
    assert older.features["n"].distinct.count == old.features["n"].distinct.count
    added = (older + old).features["n"].distinct
    assert not added.exact
    assert added.count * (1 - added.error) <= 40_000 <= added.count * (1 + added.error)


def test_adding_kinds_that_do_not_mix_is_told():
    one, other = generate_statistics(pl.DataFrame({"x": [{"a": 1}]})), generate_statistics(pl.DataFrame({"x": [1]}))
    with pytest.raises(
        SchemaError, match=r"'x': statistics of a feature that is struct in one batch and int in another"
    ):
        _ = one + other
    ints, floats = generate_statistics(pl.DataFrame({"x": ["1"]})), generate_statistics(pl.DataFrame({"x": ["1.5"]}))
    assert (ints + floats) == generate_statistics(pl.DataFrame({"x": ["1", "1.5"]}))


def test_a_column_that_only_one_batch_has_is_missing_in_the_other():
    added = generate_statistics(pl.DataFrame({"a": [1]})) + generate_statistics(pl.DataFrame({"a": [2], "b": ["x"]}))
    assert (added.features["b"].rows, added.features["b"].missing) == (2, 1)


def test_slices_beyond_reason_are_refused(monkeypatch):
    monkeypatch.setattr(gathering, "_SLICES", 2)
    with pytest.raises(SchemaError, match="has more than 2 values"):
        generate_statistics(pl.DataFrame({"k": [1, 2, 3]}), slices=["k"])


def test_an_empty_frame_has_features_without_figures():
    found = generate_statistics(pl.DataFrame(schema={"n": pl.Int64, "s": pl.String, "d": pl.Date}))
    assert (found.rows, found.features["n"].missing_fraction) == (0, 0.0)
    assert (found.features["n"].numbers.mean, found.features["s"].lengths, found.features["d"].moments) == (None,) * 3
    assert found.features["n"].histogram() is None
    assert str(generate_statistics(pl.DataFrame())).startswith("0 rows")


def test_python_objects_are_refused():
    with pytest.raises(SchemaError, match="'o' holds Python objects"):
        generate_statistics(pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}))
