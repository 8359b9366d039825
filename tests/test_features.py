"""Features through a lake: of events, changes and snapshots, by the lake's knowledge then, kept as training sets."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import signal
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest
from click.testing import CliRunner
from polars.testing import assert_frame_equal

from lakehouse import Lake
from lakehouse.cli import program
from lakehouse.errors import ConfigError, IntegrityError, NotFoundError, StorageError
from lakehouse.records import EventType, ExecutionState

MOMENT = pl.Datetime("us", "UTC")
DAY = datetime(2013, 1, 1, tzinfo=UTC)
WEATHER = """
    source: weather
    keys: [origin, at]
    event_time: at
    schema:
      features:
        origin: {type: string}
        at: {type: datetime}
        temp: {type: float, presence: optional}
        wind: {type: int, presence: optional}
"""
PLANES = """
    source: planes
    history: changes
    keys: [tailnum]
    event_time: since
    delete_when: "op = 'D'"
    schema:
      features:
        tailnum: {type: string}
        since: {type: datetime}
        op: {type: string}
        seats: {type: int, presence: optional}
"""
PRICES = """
    source: prices
    history: snapshots
    keys: [origin]
    schema:
      features:
        origin: {type: string}
        price: {type: int}
"""
SET = """
    description: What a delay depends on.
    owner: aviation@example.com
    entity: [origin, tailnum]
    features: ["aviation/weather:temp", "aviation/weather:wind as gust", "aviation/planes:seats"]
    ttl: {aviation/weather: 2h}
"""


def lay_out(project):
    """The configuration and the first files."""
    for name, text in {"weather": WEATHER, "planes": PLANES, "prices": PRICES}.items():
        format_ = "{type: csv, null_values: [NA]}"
        project.configure(f"sources/{name}", f"type: files\npath: {name}/*.csv\nformat: {format_}")
        project.configure(f"datasets/aviation/{name}", text)
        (project.folder / name).mkdir()
    project.configure("features/delay", SET)
    put(project, "weather", "a", "origin,at,temp,wind", "JFK,00:00,1.5,10", "JFK,01:00,NA,11", "LGA,00:00,2.5,12")
    put(project, "planes", "a", "tailnum,since,op,seats", "N1,00:00,U,100", "N1,02:00,D,NA", "N1,03:00,U,120")
    put(project, "prices", "a", "origin,price", "JFK,7", "LGA,8")


@pytest.fixture(scope="session")
def built(tmp_path_factory, new_project):
    """Weather by the hour, planes that come and go, prices as they are, and a set of these: curated once."""
    project = new_project(tmp_path_factory.mktemp("features") / "project")
    lay_out(project)
    with project.lake() as lake:
        for name in ("weather", "planes", "prices"):
            take(lake, name)
    return project


@pytest.fixture(scope="session")
def lake(built):
    """That lake, for tests that only look, or save under a name of their own."""
    with built.lake() as lake:
        yield lake


@pytest.fixture(scope="session")
def moments(tmp_path_factory, built):
    """A copy in which late rows came, files were corrected and taken anew; its lake, and moments between all that."""
    project = copied(built, tmp_path_factory.mktemp("moments"))
    with project.lake() as lake:
        yield SimpleNamespace(project=project, lake=lake, all=tuple(live(project, lake)))


@pytest.fixture
def own(built, tmp_path):
    """A copy of the project, to be changed."""
    return copied(built, tmp_path)


def copied(project, folder):
    """The same project elsewhere."""
    made = type(project)(folder / "project", dataclasses.replace(project.clock))
    shutil.copytree(project.folder, made.folder, dirs_exist_ok=True)
    return made


def live(project, lake):
    """Let the lake's mind change some times; moments before and after each."""
    clock = project.clock
    yield clock()
    yield apart(clock)
    put(project, "weather", "b", "origin,at,temp,wind", "JFK,00:30,9.5,90", "JFK,01:00,3.5,91")  # late, and a tie
    put(project, "planes", "b", "tailnum,since,op,seats", "N1,01:00,U,110", "N2,00:00,U,50")
    take(lake, "weather")
    take(lake, "planes")
    yield apart(clock)
    put(project, "weather", "a", "origin,at,temp,wind", "JFK,00:00,1.0,20", "LGA,00:00,2.0,22")  # one row less
    put(project, "planes", "a", "tailnum,since,op,seats", "N1,00:00,U,101")
    take(lake, "weather")
    take(lake, "planes")
    yield apart(clock)
    take(lake, "weather", again=True)
    yield apart(clock)


def apart(clock):
    """A moment that nothing else is near to."""
    clock.now += timedelta(hours=1)
    now = clock()
    clock.now += timedelta(hours=1)
    return now


def put(project, source, name, header, *lines):
    """Let a file arrive; ``01:00`` is that hour of the day."""
    rows = [",".join(f"2013-01-01T{v}:00Z" if v[2:3] == ":" else v for v in line.split(",")) for line in lines]
    (project.folder / source / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")


def take(lake, name, **how):
    """Land and curate."""
    lake.land(name)
    done = lake.curate(f"aviation/{name}", **how)
    assert done.rejected == 0
    return done


def hours(*values):
    return [None if value is None else DAY + timedelta(hours=value) for value in values]


def spine(times, **columns):
    return pl.DataFrame({**columns, "event_time": pl.Series(hours(*times), dtype=MOMENT)})


def column(lake, frame, feature, **more):
    made = lake.features(frame, feature, **more)
    assert_frame_equal(made.select(frame.columns), frame)
    return made[made.columns[-1]].to_list()


def test_each_row_gets_what_was_true_at_its_time_and_keeps_its_place(lake):
    frame = spine([1.5, 0.5, -1, 0, 0.5], origin=["JFK", "JFK", "JFK", "LGA", "JFK"])
    made = lake.features(frame, ["aviation/weather:temp", "aviation/weather:wind"])
    assert_frame_equal(made.select(frame.columns), frame)
    assert made.select("temp", "wind").rows() == [(None, 11), (1.5, 10), (None, None), (2.5, 12), (1.5, 10)]


def test_a_deleted_key_has_nothing_until_it_comes_back(lake):
    frame = spine([-0.5, 0, 1.9, 2, 2.9, 3], tailnum=["N1"] * 6)
    assert column(lake, frame, "aviation/planes:seats") == [None, 100, 100, None, None, 120]
    # The delete is the newest there is: what was before it does not come back when it is too old.
    assert column(lake, frame, "aviation/planes:seats", ttl="30m") == [None, 100, None, None, None, 120]


def test_snapshots_are_true_from_when_they_were_landed(own):
    put(own, "prices", "b", "origin,price", "JFK,9")
    with own.lake() as lake:
        first = lake.read("aviation/prices")["_valid_from"][0]
        take(lake, "prices")
        times = [time for time in (first, first - timedelta(1), first + timedelta(1)) for _ in range(2)]
        frame = pl.DataFrame({"origin": ["JFK", "LGA"] * 3, "event_time": times})
        assert column(lake, frame, "aviation/prices:price") == [7, 8, None, None, 9, None]


def test_features_at_a_time_are_what_reading_valid_at_that_time_shows(lake):
    for hour in (-1, 0, 1, 2, 2.5, 3, 9):
        state = lake.read("aviation/planes", valid_at=hours(hour)[0])
        seats = dict(state.select("tailnum", "seats").iter_rows())
        assert column(lake, spine([hour], tailnum=["N1"]), "aviation/planes:seats") == [seats.get("N1")]


def test_a_feature_set_gives_its_columns_under_its_names_and_its_ages(lake):
    frame = spine([1, 3.5], origin=["JFK", "JFK"], tailnum=["N1", "N1"], label=[0, 1])
    made = lake.features(frame, "delay")
    assert made.columns == [*frame.columns, "temp", "gust", "seats"]
    assert made.select("temp", "gust", "seats").rows() == [(None, 11, 100), (None, None, 120)]
    assert lake.features(frame, "delay", ttl=0)["gust"].to_list() == [11, 11]
    assert lake.features(frame, "delay", ttl={"aviation/planes": "10m"})["seats"].to_list() == [None, None]


def test_every_feature_but_keys_and_event_time_can_be_asked_for_at_once(lake):
    made = lake.features(spine([1], origin=["LGA"]), "aviation/weather:*")
    assert made.columns == ["origin", "event_time", "temp", "wind"]


def test_one_feature_can_stand_under_several_names(lake):
    names = ["aviation/weather:wind as a", "aviation/weather:wind as b", "aviation/weather:origin as station"]
    assert lake.features(spine([1], origin=["LGA"]), names).row(0)[2:] == (12, 12, "LGA")


def test_a_spine_may_be_lazy_or_arrow_or_pandas(lake):
    frame = spine([0], origin=["JFK"])
    expected = lake.features(frame, "aviation/weather:temp")
    for other in (frame.lazy(), frame.to_arrow(), frame.to_pandas()):
        assert_frame_equal(lake.features(other, "aviation/weather:temp"), expected)
    with pytest.raises(ConfigError, match="not a list"):
        lake.features([1], "aviation/weather:temp")


def test_the_time_is_found_by_name_or_said(lake):
    frame = spine([0], origin=["JFK"])
    for name in ("event_timestamp", "event_time"):
        assert lake.features(frame.rename({"event_time": name}), "aviation/weather:wind")["wind"][0] == 10
    assert lake.features(frame.rename({"event_time": "t"}), "aviation/weather:wind", time="t")["wind"][0] == 10
    with pytest.raises(NotFoundError, match=r"neither event_time nor event_timestamp.*Columns with times: t"):
        lake.features(frame.rename({"event_time": "t"}), "aviation/weather:wind")
    with pytest.raises(NotFoundError, match="both"):
        lake.features(frame.with_columns(event_timestamp="event_time"), "aviation/weather:wind")
    with pytest.raises(NotFoundError, match="Did you mean 'event_time'"):
        lake.features(frame, "aviation/weather:wind", time="event_tim")


def test_times_without_a_zone_take_the_lakes(own, lake):
    frame = spine([0], origin=["LGA"]).with_columns(pl.col("event_time").dt.replace_time_zone(None))
    with pytest.raises(ConfigError, match=r"features of 'aviation/weather'.*no time zone"):
        lake.features(frame, "aviation/weather:wind")
    own.change("lakehouse", "root: data", "root: data\ntimezone: America/New_York")
    with own.lake() as there:
        assert there.features(frame, "aviation/weather:wind", ttl="5h")["wind"].to_list() == [12]
        assert there.features(frame, "aviation/weather:wind", ttl="4h")["wind"].to_list() == [None]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ("delays", "no feature set 'delays'. Did you mean 'delay'"),
        (["aviation/wether:temp"], "no dataset 'aviation/wether'. Did you mean 'aviation/weather'"),
        (["aviation/weather:tmp"], "no feature 'tmp'. Did you mean 'temp'"),
        (["aviation/planes:seats"], "no column 'tailnum', which is a key"),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest(lake, names, says):
    with pytest.raises(NotFoundError, match=says.replace(".", r"\.")):
        lake.features(spine([0], origin=["JFK"]), names)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["weather"], "is no feature"),
        (["aviation/weather:temp", "aviation/weather:temp"], "would both be the column 'temp'"),
        (["aviation/weather:temp as label"], "the spine has a column 'label'.* as NAME"),
        (["aviation/weather:at as event_time"], "the spine has a column 'event_time'"),
    ],
)
def test_a_column_has_one_meaning(lake, names, says):
    with pytest.raises(ConfigError, match=says):
        lake.features(spine([0], origin=["JFK"], label=[1]), names)


def test_a_key_of_another_type_is_refused_by_the_name_of_the_dataset(lake):
    with pytest.raises(ConfigError, match=r"features of 'aviation/weather': key 'origin' is Int64 .* and String"):
        lake.features(spine([0], origin=[1]), "aviation/weather:temp")


def test_a_dataset_without_keys_has_no_features(own):
    own.change("datasets/aviation/weather", "keys: [origin, at]\n", "")
    (own.folder / "configs/features/delay.yaml").unlink()
    with own.lake() as lake, pytest.raises(ConfigError, match="names no keys"):
        lake.features(spine([0]), "aviation/weather:temp")


def test_an_age_that_is_none_is_refused(lake):
    frame = spine([0], origin=["JFK"])
    for ttl, says in (("soon", "a duration is"), ({"aviation/planes": "1h"}, "no feature is wanted of")):
        with pytest.raises(ConfigError, match=says):
            lake.features(frame, "aviation/weather:temp", ttl=ttl)


def test_damage_is_told_as_such(own):
    (part,) = (own.folder / "data/curated/aviation/weather").glob("*.parquet")
    part.chmod(0o644)
    part.write_bytes(part.read_bytes()[:-20])
    with own.lake() as lake, pytest.raises(StorageError, match="dataset 'aviation/weather' cannot be read"):
        lake.features(spine([0], origin=["JFK"]), "aviation/weather:temp")


# --- what the lake knew ---


def known_then(lake, frame, names, at):
    """What the same question as of a moment answers; nothing where there was no version yet."""
    try:
        return lake.features(frame, names, as_of=at)
    except NotFoundError:
        return None


@pytest.mark.parametrize(("dataset", "keys"), [("weather", ["JFK", "LGA"]), ("planes", ["N1", "N2"])])
@pytest.mark.parametrize("way", [0, 1_000_000])
def test_as_known_is_what_each_rows_own_moment_would_have_been_answered(moments, dataset, keys, way, monkeypatch):
    lake = moments.lake
    monkeypatch.setattr("lakehouse.features.joining._MANY", way)
    name, feature = ("origin", "wind") if dataset == "weather" else ("tailnum", "seats")
    rows = [(key, at) for at in (*moments.all, DAY) for key in keys]
    frame = pl.DataFrame(rows, {name: pl.String, "event_time": MOMENT}, orient="row")
    made = column(lake, frame, f"aviation/{dataset}:{feature}", as_known=True)
    expected = []
    for row in frame.iter_slices(1):
        then = known_then(lake, row, [f"aviation/{dataset}:{feature}"], row["event_time"][0])
        expected.append(None if then is None else then[feature][0])
    assert made == expected
    assert len(set(expected)) > 3  # the lake did change its mind
    later = column(lake, frame, f"aviation/{dataset}:{feature}")
    assert later != made


def test_as_known_looks_at_the_table_of_its_time_when_types_changed(moments, tmp_path):
    project = copied(moments.project, tmp_path)
    project.change("datasets/aviation/weather", "wind: {type: int", "wind: {type: float")
    with project.lake() as other:
        take(other, "weather", again=True)
        times = pl.Series([*reversed(moments.all), apart(project.clock)], dtype=MOMENT)
        frame = pl.DataFrame({"origin": "JFK", "event_time": times})
        made = column(other, frame, "aviation/weather:wind", as_known=True)
        now = column(other, frame, "aviation/weather:wind")
    before = column(moments.lake, frame, "aviation/weather:wind", as_known=True)
    assert made == before[:-1] + now[-1:]
    assert all(isinstance(value, float) for value in made if value is not None)


def test_a_set_can_ask_for_what_was_known(moments, tmp_path):
    project, lake = copied(moments.project, tmp_path), moments.lake
    project.change("features/delay", "", "as_known: true")
    frame = pl.DataFrame({"origin": "JFK", "tailnum": "N1", "event_time": pl.Series(moments.all, dtype=MOMENT)})
    with project.lake() as other:
        made = other.features(frame, "delay", ttl=0)
        assert_frame_equal(made, lake.features(frame, "delay", ttl=0, as_known=True))
        assert_frame_equal(other.features(frame, "delay", ttl=0, as_known=False), lake.features(frame, "delay", ttl=0))
        assert not made.equals(lake.features(frame, "delay", ttl=0))


def test_older_versions_moments_and_tags_can_be_asked(moments):
    lake, then = moments.lake, moments.all[1]
    frame = spine([1], origin=["JFK"])
    assert column(lake, frame, "aviation/weather:wind") == [91]
    assert column(lake, frame, "aviation/weather:wind", versions={"aviation/weather": 0}) == [11]
    assert column(lake, frame, "aviation/weather:wind", as_of=then) == [11]
    lake.tag("then", ["aviation/weather"], as_of=then)
    assert column(lake, frame, "aviation/weather:wind", tag="then") == [11]
    with pytest.raises(NotFoundError, match="no feature is wanted of 'aviation/planes'"):
        lake.features(frame, "aviation/weather:wind", versions={"aviation/planes": 0})


def test_of_rows_of_the_same_time_the_last_recorded_counts(moments):
    assert column(moments.lake, spine([1], origin=["JFK"]), "aviation/weather:temp") == [3.5]


# --- training sets ---


def test_a_training_set_is_kept_with_all_that_it_was_made_of(lake):
    frame = spine([1, 0.5], origin=["JFK", "LGA"], tailnum=["N1", "N1"])
    made = lake.features(frame, "delay", save="whole")
    kept = lake.training_set("whole")
    assert_frame_equal(kept.read(), made)
    assert (kept.number, kept.rows, kept.feature_set, kept.time, kept.as_known) == (0, 2, "delay", "event_time", False)
    assert kept.versions == {"aviation/weather": 0, "aviation/planes": 0}
    assert kept.features == ("aviation/weather:temp", "aviation/weather:wind as gust", "aviation/planes:seats")
    assert kept.ttl == {"aviation/weather": "2h"}
    assert kept.sha256 == hashlib.sha256(kept.path.read_bytes()).hexdigest()
    assert kept.path.stat().st_mode & 0o222 == 0
    assert_frame_equal(lake.features(frame, "delay", versions=kept.versions), made)
    assert lake.check() == ()


def test_a_training_set_stands_in_the_lineage_of_its_datasets(lake):
    lake.features(spine([1], origin=["JFK"]), "aviation/weather:temp", save="drawn")
    up = lake.lineage("TrainingSet:drawn", direction="up")
    assert "aviation/weather@0" in str(up)
    assert "TrainingSet drawn@0" in str(lake.lineage("aviation/weather", direction="down"))
    down = lake.lineage("aviation/weather", column="wind", direction="down")
    assert "drawn@0" not in str(down)  # it was not read
    assert "drawn@0" in str(lake.lineage("aviation/weather", column="temp", direction="down"))


def test_a_name_is_a_series_and_the_same_spine_is_known_again(lake):
    frame = spine([1, 2], origin=["JFK", "LGA"])
    for wanted in (frame, frame, frame.reverse()):
        lake.features(wanted, "aviation/weather:temp", save="series")
    first, second, third = (lake.training_set("series", number) for number in range(3))
    assert lake.training_set("series") == third
    assert first.sha256 == second.sha256 != third.sha256
    assert first.spine == second.spine != third.spine
    for name, says in (("serie", "Did you mean"), ("series@9", "of its versions there is 0, 1, 2")):
        with pytest.raises(NotFoundError, match=says):
            lake.training_set(*([name] if "@" not in name else ["series", 9]))


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "-a"])
def test_a_training_set_needs_a_plain_name(lake, name):
    with pytest.raises(ConfigError, match="cannot be the name"):
        lake.features(spine([1], origin=["JFK"]), "aviation/weather:temp", save=name)


def test_a_changed_training_set_is_found_out(own):
    with own.lake() as lake:
        lake.features(spine([1], origin=["JFK"]), "aviation/weather:temp", save="first")
        _found_out(lake)


def _found_out(lake):
    kept = lake.training_set("first")
    whole = kept.path.read_bytes()
    kept.path.chmod(0o644)
    kept.path.write_bytes(whole[:-1] + b"\0")
    with pytest.raises(IntegrityError, match="no longer matches its hash"):
        kept.read()
    assert [p.where for p in lake.check() if not p.harmless] == ["features/first/0.parquet"]
    kept.path.unlink()
    with pytest.raises(NotFoundError, match="is gone"):
        kept.read()
    assert [p.message for p in lake.check() if not p.harmless] == ["is gone"]


SAVE = """
import sys, datetime, polars as pl
from lakehouse import Lake
frame = pl.DataFrame({"origin": ["JFK"], "event_time": [datetime.datetime(2013, 1, 1, 1, tzinfo=datetime.UTC)]})
with Lake("configs") as lake:
    lake.features(frame, "aviation/weather:temp", save="first")
"""


@pytest.mark.parametrize("place", ["training.written", "training.placed"])
def test_a_crash_while_saving_leaves_nothing_that_counts(own, place):
    killed = own.start("-c", SAVE, LAKEHOUSE_FAIL_AT=place)
    assert killed.communicate(timeout=60)[1] == ""
    assert killed.returncode == -signal.SIGKILL
    with own.lake() as lake:
        with pytest.raises(NotFoundError):
            lake.training_set("first")
        assert all(problem.harmless for problem in lake.check())
        lake.features(spine([1], origin=["JFK"]), "aviation/weather:temp", save="first")
        assert lake.training_set("first").number == 0
        assert lake.training_set("first").read().height == 1
        assert lake.check() == ()
    assert not list((own.folder / "data/.work").rglob("*.parquet"))


def test_a_lost_ledger_is_made_again_with_its_training_sets(own):
    with own.lake() as lake:
        lake.features(spine([1], origin=["JFK"]), "aviation/weather:temp", save="first")
        before = lake.training_set("first")
    (own.folder / "data/metadata.db").unlink()
    Lake.repair(own.folder / "configs", clock=own.clock)
    with own.lake() as other:
        assert other.training_set("first") == before
        assert other.check() == ()


def test_what_a_training_set_read_is_in_the_ledger(lake):
    lake.features(spine([1], origin=["JFK"]), "aviation/weather:temp", save="recorded")
    ledger = lake._site.ledger
    (step,) = ledger.get_executions(ids=[lake.training_set("recorded").execution])
    assert (step.type, step.state) == ("TrainingSet", ExecutionState.COMPLETE)
    assert json.loads(step.properties["columns"]) == {"aviation/weather@0": ["origin", "at", "temp"]}
    read = ledger.get_events(execution_ids=[step.id], types=[EventType.INPUT])
    assert [a.name for a in ledger.get_artifacts(ids=[event.artifact_id for event in read])] == ["aviation/weather@0"]


# --- the configuration and the command line ---


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "aviation/planes:seats",
            "aviation/plane:seats",
            "no dataset 'aviation/plane'. Did you mean 'aviation/planes'",
        ),
        ("aviation/planes:seats", "aviation/planes:seat", "no feature 'seat'. Did you mean 'seats'"),
        ("aviation/planes:seats", "aviation/planes:seats as temp", "'temp' is a column of aviation/weather:temp too"),
        ("aviation/planes:seats", "aviation/planes:seats as origin", "'origin' is a column of the entity too"),
        ("aviation/planes:seats", "seats", "is no feature"),
        ("[origin, tailnum]", "[origin]", "'tailnum' is missing: it is a key of aviation/planes"),
        ("[origin, tailnum]", "[origin, tailnum, wind]", "'wind' is a key of none of its datasets"),
        ("aviation/weather: 2h", "aviation/prices: 2h", "nothing is taken of 'aviation/prices'"),
        ("aviation/weather: 2h", "aviation/weather: soon", "a duration is"),
        ("owner:", "owned:", "unknown key. Did you mean 'owner'"),
    ],
)
def test_a_set_that_cannot_be_is_told_when_the_lake_is_opened(project, old, new, says):
    lay_out(project)
    project.change("features/delay", old, new)
    with pytest.raises(ConfigError) as caught:
        project.lake()
    assert "configs/features/delay.yaml" in str(caught.value)
    assert says in str(caught.value)


def run(project, *arguments):
    return CliRunner().invoke(program, ["--configs", str(project.folder / "configs"), *map(str, arguments)])


def test_the_command_joins_a_file_and_writes_another(built, lake, tmp_path):
    file, out = tmp_path / "spine.csv", tmp_path / "out.parquet"
    file.write_text("origin,tailnum,event_time,label\nJFK,N1,2013-01-01T01:00:00Z,1\n007,N1,2013-01-01T03:00:00Z,0\n")
    done = run(built, "features", "delay", "--spine", file, "--out", out, "--save", "told")
    assert done.exit_code == 0, done.output
    assert "saved TrainingSet:told@0, 2 rows" in done.stderr
    made = pl.read_parquet(out)
    assert made.select("origin", "gust", "seats").rows() == [("JFK", 11, 100), ("007", None, 120)]
    assert_frame_equal(lake.training_set("told").read(), made)
    made.select("origin", "tailnum", "event_time").write_parquet(tmp_path / "spine.parquet")
    shown = run(built, "--json", "features", "delay", "--spine", tmp_path / "spine.parquet", "--ttl", "0")
    assert shown.exit_code == 0, (shown.output, shown.exception)
    assert [row["gust"] for row in json.loads(shown.stdout)] == [11, None]
    table = run(built, "features", "aviation/weather:wind", "aviation/weather:temp", "--spine", file)
    assert table.exit_code == 0
    assert "wind" in table.stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["delay", "other", "--spine", "spine.csv"], 2, "name one feature set"),
        (["delay", "--spine", "spine.csv", "--out", "x.txt"], 2, "must end in .parquet or .csv"),
        (["delay", "--spine", "none.csv"], 1, "cannot be read as a spine"),
        (["delay", "--spine", "spine.csv", "--time", "label"], 2, "make it a Datetime"),
    ],
)
def test_the_command_says_what_is_wrong(  # noqa: PLR0913, PLR0917  # fixtures and parameters
    built, tmp_path, monkeypatch, arguments, status, says
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spine.csv").write_text("origin,tailnum,event_time,label\nJFK,N1,2013-01-01T01:00:00Z,1\n")
    done = run(built, "features", *arguments)
    assert done.exit_code == status
    assert says in done.stderr
