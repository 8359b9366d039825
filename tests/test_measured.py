"""Every curation is measured and judged; what it found is kept, added up, and told again."""

import json
import math
import shutil
from datetime import date

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse import Lake, generate_statistics, timeline
from lakehouse.errors import ConfigError, FormatError, NotFoundError, RecordError
from lakehouse.integrity.measured import check_measured
from lakehouse.measured import judging, summing
from lakehouse.records import EventType, ExecutionState
from lakehouse.schema import PROVENANCE, Rule

FLIGHTS = "aviation/flights"
READ = summing.read


def rules(project, text):
    """Add to the flights' schema, beside its features."""
    project.change(f"datasets/{FLIGHTS}", "schema:\n", f"schema:\n  {text}\n")


def feature(project, name, more):
    """Add to one of the flights' features."""
    project.change(f"datasets/{FLIGHTS}", f"{name}: {{type", f"{name}: {{{more}, type")


def day(number, rows=2, carrier="UA", delay=3, hour=5):
    """A file of one day's flights."""
    head = "time_hour,carrier,flight,origin,dep_delay\n"
    return head + "".join(
        f"2013-01-{number:02}T{hour:02}:00:00Z,{carrier},{flight},EWR,{delay}\n" for flight in range(1, rows + 1)
    )


def told(statistics):
    """What statistics tell of their rows, to be compared: each figure that does not hang on the order of adding."""
    found = {}
    for path, one in statistics.features.items():
        values = one.frequencies().sort("value", "count").rows()
        numbers = one.numbers
        mean = None if numbers is None or numbers.mean is None else round(numbers.mean, 9)
        found[path] = (one.type, one.rows, one.count, one.values, values, one.complete, one.distinct, mean)
    return statistics.rows, dict(sorted(found.items()))


def measured_anew(lake, version=None):
    """The same by reading every row."""
    dataset = lake.config.dataset(FLIGHTS)
    return generate_statistics(lake.scan(FLIGHTS, version=version).drop(*PROVENANCE), schema=dataset.schema)


def artifacts(lake, kind):
    return lake._site.ledger.get_artifacts(type=kind)


def artifacts_of(project, kind):
    with project.lake() as lake:
        return artifacts(lake, kind)


def kept_files(project):
    zone = project.folder / "data" / "statistics"
    return sorted(p.relative_to(zone).as_posix() for p in zone.rglob("*") if p.is_file())


def messages(project):
    with project.lake() as lake:
        return [str(problem) for problem in lake.check()]


def test_a_curation_keeps_what_its_rows_are_like_and_what_is_odd_about_them(project):
    project.deliver("morning.csv", project.morning + "2013-01-01T07:00:00Z,AA,many,JFK,1\n")
    done = project.run()
    with project.lake() as lake:
        statistics = lake.statistics(FLIGHTS)
        (kept,), (found,) = artifacts(lake, "Statistics"), artifacts(lake, "Anomalies")
        assert told(statistics) == told(measured_anew(lake))
        made = lake._site.ledger.get_events(execution_ids=[done.curated[0].execution], types=[EventType.OUTPUT])
        assert {kept.id, found.id} <= {event.artifact_id for event in made}
        (execution,) = lake._site.ledger.get_executions(type="Curate")
        assert json.loads(execution.properties["broken"]) == {"flight: not an int": 1}
    assert statistics.rows == kept.properties["rows"] == 2
    assert [(one.path, one.rule, one.rows) for one in statistics.broken] == [("flight", Rule.TYPE, 1)]
    assert kept.properties["at"] == "2013-01-01"
    assert kept_files(project) == [f"{FLIGHTS}/3/anomalies.json", f"{FLIGHTS}/3/statistics.parquet"]
    assert kept.uri == f"statistics/{FLIGHTS}/3/statistics.parquet"
    assert (project.folder / "data" / found.uri).is_file()
    assert messages(project) == []


def test_a_column_whose_name_holds_dots_is_one_column_and_stays_personal(project):
    features = "    dep.time: {type: int}\n    full.name: {type: int, personal: true, domain: {max: 3}}"
    project.change(f"datasets/{FLIGHTS}", "", features)
    project.deliver(
        "1.csv", project.header.strip() + ",dep.time,full.name\n2013-01-01T05:00:00Z,UA,1,EWR,2,late,4711\n"
    )
    project.run()
    with project.lake() as lake:
        found = lake.validate(FLIGHTS, file=project.folder / "incoming" / "1.csv")
        assert lake.quarantine(FLIGHTS).collect()["reasons"].to_list() == [
            ["dep.time: not an int", "full.name: above 3"]
        ]
    (artifact,) = artifacts_of(project, "Anomalies")
    kept = (project.folder / "data" / artifact.uri).read_text()
    for told_of in (str(found), found.to_json(), kept):
        assert "late" in told_of
        assert "4711" not in told_of


def test_a_dataset_that_wants_no_statistics_keeps_none_and_is_measured_when_it_is_asked(project):
    project.change(f"datasets/{FLIGHTS}", "", "validation: {statistics: false}")
    project.deliver("morning.csv", project.morning)
    project.run()
    assert kept_files(project) == []
    with project.lake() as lake:
        assert artifacts(lake, "Statistics") == artifacts(lake, "Anomalies") == []
        assert told(lake.statistics(FLIGHTS)) == told(measured_anew(lake))
        assert lake.history(FLIGHTS)[0].anomalies is None


def test_what_is_odd_about_a_batch_is_told_counted_and_recorded(project):
    rules(project, "rows: {min: 10}")
    project.deliver("morning.csv", project.morning)
    (done,) = project.run().curated
    assert [(note.kind, note.where) for note in done.notes] == [("anomaly", FLIGHTS)]
    assert "rows" in done.notes[0].message
    assert f"lakehouse validate {FLIGHTS}" in done.notes[0].message
    with project.lake() as lake:
        (version,) = lake.history(FLIGHTS)
        (found,) = artifacts(lake, "Anomalies")
        assert done.anomalies == version.anomalies == 1
        assert (found.properties["errors"], found.properties["warnings"]) == (1, 0)
        assert "Anomalies aviation/flights@3: 1 error" in str(lake.lineage(f"execution:{done.execution}"))
        assert lake.validate(FLIGHTS).to_json() == (project.folder / "data" / found.uri).read_text()


def test_a_batch_that_its_schema_refuses_leaves_nothing_but_why_and_is_tried_again_after_a_change(project):
    rules(project, "rows: {min: 3}\n  on_error: {rows: refuse}")
    project.deliver("morning.csv", project.morning)
    ran = project.run()
    assert not ran.ok
    (error,) = ran.errors
    assert "the batch of 2 rows is refused by its schema; nothing was appended" in error
    with project.lake() as lake, pytest.raises(NotFoundError, match="no version yet"):
        lake.read(FLIGHTS)
    with project.lake() as lake:
        (failed,) = lake._site.ledger.get_executions(type="Curate")
        assert failed.state is ExecutionState.FAILED
        (found,) = artifacts(lake, "Anomalies")
        assert artifacts(lake, "Statistics") == []
        (odd,) = json.loads((project.folder / "data" / found.uri).read_text())["anomalies"]
        assert (odd["rule"], odd["action"]) == ("rows", "refuse")
    assert messages(project) == []
    again = project.run()
    assert [note.kind for note in again.curated[0].notes] == ["refused"]
    project.change(f"datasets/{FLIGHTS}", "rows: {min: 3}", "rows: {min: 2}")
    assert project.run().ok
    assert len(project.read()) == 2


def test_a_refused_batch_stands_in_no_ones_way(project):
    rules(project, "rows: {max: 2}\n  on_error: {rows: refuse}")
    project.deliver("1.csv", day(1))
    project.run()
    project.deliver("2.csv", day(2, rows=5))
    assert not project.run().ok
    project.deliver("3.csv", day(3))
    assert project.run().ok
    with project.lake() as lake:
        assert lake.statistics(FLIGHTS).rows == lake.read(FLIGHTS).height == 4
        project_rules = project.folder / "configs" / "datasets" / f"{FLIGHTS}.yaml"
    project_rules.write_text(project_rules.read_text().replace("max: 2", "max: 5"))
    project.run()
    assert len(project.read()) == 9


def test_a_batch_is_held_against_the_batch_before_and_a_drift_names_the_files_that_brought_it(project):
    feature(project, "carrier", "drift: {infinity_norm: 0.3}")
    project.deliver("1.csv", day(1, rows=10))
    assert project.run().curated[0].anomalies == 0
    project.deliver("2.csv", day(2, rows=10))
    assert project.run().curated[0].anomalies == 0
    project.deliver("3.csv", day(3, rows=10))
    project.deliver("4.csv", day(3, rows=10, carrier="ZZ", hour=6))
    assert project.run().curated[0].anomalies == 1
    with project.lake() as lake:
        (odd,) = lake.validate(FLIGHTS).anomalies
        assert (odd.path, odd.rule) == ("carrier", Rule.DRIFT)
        assert odd.causes[0].name == "4.csv"
        assert lake.validate(FLIGHTS, version=1).anomalies == ()
        assert lake.validate(FLIGHTS, version=1, previous=2).anomalies[0].rule is Rule.DRIFT
        assert lake.validate(FLIGHTS, previous=f"{FLIGHTS}@2").anomalies == ()
        assert lake.validate(FLIGHTS, previous=lake.statistics(FLIGHTS, batch=True)).anomalies == ()


def test_a_drift_of_a_column_whose_name_holds_dots_names_its_files(project):
    project.change(f"datasets/{FLIGHTS}", "", "    tail.num: {type: string, drift: {infinity_norm: 0.3}}")
    project.deliver("1.csv", day(1).replace("delay\n", "delay,tail.num\n").replace(",3\n", ",3,N1\n"))
    project.run()
    project.deliver("2.csv", day(2).replace("delay\n", "delay,tail.num\n").replace(",3\n", ",3,N2\n"))
    project.run()
    with project.lake() as lake:
        (odd,) = lake.validate(FLIGHTS).anomalies
    assert (odd.path, odd.causes[0].name) == ("tail.num", "2.csv")


def test_taking_files_in_again_is_no_drift_and_no_ones_batch_before(project):
    rules(project, "rows: {drift: {max_fraction: 2}}")
    for number in (1, 2, 3):
        project.deliver(f"{number}.csv", day(number))
        project.run()
    with project.lake() as lake:
        assert lake.curate(FLIGHTS, again=True).anomalies == 0  # three times the rows
        assert lake.validate(FLIGHTS).anomalies == ()
    project.deliver("4.csv", day(4, rows=5))
    assert project.run().curated[0].anomalies == 1  # against the two rows of the third day


def test_an_older_batch_is_held_against_what_came_before_it_though_all_was_taken_in_again_since(project):
    rules(project, "rows: {drift: {max_fraction: 2}}")
    project.deliver("1.csv", day(1))
    assert project.run().curated[0].anomalies == 0
    project.deliver("2.csv", day(2, rows=5))
    assert project.run().curated[0].anomalies == 1
    with project.lake() as lake:
        before = lake.validate(FLIGHTS, version=1).to_json()
        lake.curate(FLIGHTS, again=True)
        assert lake.validate(FLIGHTS, version=1).to_json() == before
        assert len(lake.validate(FLIGHTS, version=1).anomalies) == 1


def test_keys_must_be_unique_within_a_batch_where_the_schema_says_so(project):
    rules(project, "keys: unique")
    project.deliver("1.csv", project.morning + project.morning.partition("\n")[2])
    (done,) = project.run().curated
    assert (done.curated, done.anomalies) == (4, 1)
    with project.lake() as lake:
        assert [odd.rule for odd in lake.validate(FLIGHTS).anomalies] == [Rule.KEYS]


def test_event_times_must_be_fresh_where_the_schema_says_so(project):
    rules(project, "freshness: 2d")
    project.deliver("1.csv", project.morning)
    assert project.run().curated[0].anomalies == 1  # the clock of tests stands in 2026
    with project.lake() as lake:
        assert [odd.rule for odd in lake.validate(FLIGHTS).anomalies] == [Rule.FRESHNESS]
    project.deliver("2.csv", "time_hour,carrier,flight,origin,dep_delay\n2025-12-31T05:00:00Z,UA,1,EWR,1\n")
    assert project.run().curated[0].anomalies == 0


def test_values_filled_in_by_a_default_are_counted_and_lineage_shows_them(project):
    feature(project, "dep_delay", "default: 0")
    project.deliver("noon.csv", project.noon)
    (done,) = project.run().curated
    with project.lake() as lake:
        (curation,) = lake._site.ledger.get_executions(ids=[done.execution])
        assert json.loads(curation.properties["filled"]) == {"dep_delay": 1}
        lineage = lake.lineage(FLIGHTS)
    assert "rejected 0, filled in 1 value, configuration" in str(lineage)
    (node,) = [node for node in json.loads(lineage.to_json())["nodes"] if node["kind"] == "Curate"]
    assert node["properties"]["filled"] == '{"dep_delay": 1}'


STEPS = st.lists(
    st.tuples(st.sampled_from(["new", "correct", "back", "again", "lose"]), st.integers(1, 4), st.integers(1, 9)),
    min_size=1,
    max_size=5,
)


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(STEPS)
def test_kept_statistics_add_up_to_those_of_all_rows_whatever_happened(tmp_path_factory, new_project, steps):
    project = new_project(tmp_path_factory.mktemp("history") / "project")
    project.deliver("0.csv", day(9))
    with pytest.MonkeyPatch.context() as patch, project.lake() as lake:
        patch.setattr(summing, "_EVERY", 2)
        lake.run("nightly")
        for number, (step, which, size) in enumerate(steps):
            match step:
                case "new":
                    project.deliver(f"{number}-{which}.csv", day(which, size, "AA", number))
                case "correct" | "back":
                    project.deliver("0.csv", day(9, size, "B6" if step == "correct" else "UA", 3))
                    project.deliver("1.csv", day(8, which, "DL"))
                case "again":
                    lake.curate(FLIGHTS, again=True)
                case "lose":
                    for file in sorted((project.folder / "data" / "statistics").rglob("*.parquet"))[:which]:
                        file.unlink()
            lake.run("nightly")
        moments = timeline.read(lake._site.ledger, FLIGHTS).moments
        for version in lake.history(FLIGHTS):
            assert told(lake.statistics(FLIGHTS, version=version.version)) == told(measured_anew(lake, version.version))
            assert lake.statistics(FLIGHTS, as_of=moments[version.execution]).rows == version.total
            assert lake.statistics(FLIGHTS, version=version.version, batch=True).rows == version.rows


def test_the_statistics_of_many_versions_are_read_from_few_files(project, monkeypatch):
    monkeypatch.setattr(summing, "_EVERY", 4)
    with project.lake() as lake:
        for number in range(1, 12):
            project.deliver(f"{number}.csv", day(number))
            lake.run("nightly")
        read = []
        monkeypatch.setattr(summing, "read", lambda _, uri, digest: read.append(uri) or READ(_, uri, digest))
        statistics = lake.statistics(FLIGHTS)
        assert told(statistics) == told(measured_anew(lake))
    assert statistics.rows == 22
    assert [uri.rpartition("/")[2] for uri in sorted(read)].count("total.parquet") == 1
    assert len(read) <= 1 + 3


def test_a_kept_file_that_was_changed_or_lost_is_told_and_not_believed(project):
    project.deliver("morning.csv", project.morning)
    project.run()
    project.deliver("noon.csv", project.noon)
    project.run()
    with project.lake() as lake:
        before = told(lake.statistics(FLIGHTS))
    first, second = sorted((project.folder / "data" / "statistics").rglob("statistics.parquet"))
    shutil.copy(second, first.with_name("other"))
    first.with_name("other").replace(first)
    second.unlink()
    with project.lake() as lake:
        assert told(lake.statistics(FLIGHTS)) == before
        problems = lake.check()
    uris = [file.relative_to(project.folder / "data").as_posix() for file in (first, second)]
    assert [(p.where, p.message.partition(":")[0]) for p in problems] == [
        (uris[0], "no longer matches its hash"),
        (uris[1], "is gone"),
    ]
    assert not any(p.harmless for p in problems)


def test_what_a_curation_beside_a_check_has_kept_is_no_problem(project, monkeypatch):
    monkeypatch.setattr(summing, "_EVERY", 1)
    with project.lake() as lake:
        for number in (1, 2):
            project.deliver(f"{number}.csv", day(number))
            lake.run("nightly")
        (project.folder / "data" / lake._site.ledger.get_artifacts(type="Statistics")[0].uri).unlink()
        found = check_measured(lake._site)
        assert "is gone" in str(next(found))  # the ledger has been asked by now, and the folder not yet
        project.deliver("3.csv", day(3))
        lake.run("nightly")
        assert sum(file.endswith("total.parquet") for file in kept_files(project)) == 2
        assert list(found) == []


def test_a_foreign_file_among_the_statistics_is_told(project):
    project.deliver("morning.csv", project.morning)
    project.run()
    folder = project.folder / "data" / "statistics" / FLIGHTS
    (folder / "notes.txt").write_text("mine")
    (folder / "99").mkdir()
    (folder / "99" / "anomalies.json").write_text("{}")
    with project.lake() as lake:
        found = {p.where: (p.message, p.harmless) for p in lake.check()}
    assert found == {
        f"statistics/{FLIGHTS}/99/anomalies.json": ("is of a curation that never became visible", True),
        f"statistics/{FLIGHTS}/notes.txt": ("is a file that the lake did not put there", False),
    }


def test_a_file_is_judged_before_it_lands_and_as_its_curation_does_and_nothing_is_written(project):
    rules(project, "rows: {min: 3}")
    feature(project, "carrier", "domain: [UA, AA, B6]")
    project.deliver("1.csv", project.morning)
    project.run()
    file = project.folder / "new.csv"
    file.write_text(project.noon + "nonsense\n")
    with project.lake() as lake:
        before = _listed(project)
        found = lake.validate(FLIGHTS, file=file)
        assert _listed(project) == before
        assert len(lake._site.ledger.get_executions()) == 3  # of the run, the landing and the curation
    assert {odd.rule for odd in found.anomalies} >= {Rule.ROWS, Rule.DOMAIN}
    project.deliver("2.csv", file.read_text())
    project.run()
    with project.lake() as lake:
        assert _said(lake.validate(FLIGHTS)) == _said(found)
        version = lake.validate(FLIGHTS, version=0)
        assert _said(version) == [("", "DATASET_LOW_NUM_EXAMPLES", version.anomalies[0].short)]


def _listed(project):
    return sorted((str(p), p.stat().st_size) for p in (project.folder / "data").rglob("*"))


def _said(anomalies):
    return [(odd.path, str(odd.kind), odd.short) for odd in anomalies.anomalies]


def test_a_batch_is_judged_in_the_environment_of_its_rows_and_in_any_other_that_is_asked_for(project):
    rules(project, "environments: [TRAINING, SERVING]")
    project.change(f"datasets/{FLIGHTS}", "type: int, presence: optional", "type: int, not_in_environment: [SERVING]")
    project.change(f"datasets/{FLIGHTS}", "", "validation: {environment: SERVING}")
    project.deliver("1.csv", "time_hour,carrier,flight,origin\n2013-01-01T05:00:00Z,UA,1545,EWR\n")
    assert project.run().curated[0].anomalies == 0
    with project.lake() as lake:
        assert [odd.rule for odd in lake.validate(FLIGHTS, environment="TRAINING").anomalies] == [Rule.PRESENCE]
    project.deliver("2.csv", project.morning)
    (done,) = project.run().curated
    assert (done.rejected, [note.kind for note in done.notes]) == (0, ["anomaly"])
    with project.lake() as lake:
        assert lake.validate(FLIGHTS, environment="TRAINING").anomalies == ()


def test_what_was_measured_is_not_deleted_from_the_ledger(project):
    project.deliver("1.csv", project.morning)
    project.run()
    with project.lake() as lake:
        for kind in ("Statistics", "Anomalies"):
            (kept,) = artifacts(lake, kind)
            with pytest.raises(RecordError):
                lake._site.ledger.delete(artifact_ids=[kept.id], reason="tidy")


def test_a_file_that_a_curation_would_refuse_is_refused(project):
    file = project.folder / "new.csv"
    file.write_bytes(b"\x1f\x8bnonsense")
    with project.lake() as lake, pytest.raises(FormatError, match=r"a curation would refuse 'new\.csv'"):
        lake.validate(FLIGHTS, file=file)


@pytest.mark.parametrize(
    ("asked", "error", "what"),
    [
        ({"environment": "SERVNG"}, NotFoundError, "SERVING"),
        ({"file": "no.csv"}, NotFoundError, "no file 'no.csv'"),
        ({"serving": "no.csv"}, NotFoundError, "no file 'no.csv'"),
        ({"version": 7}, NotFoundError, "no version 7"),
        ({"version": 0, "file": "x.csv"}, ConfigError, "not both"),
    ],
)
def test_what_cannot_be_judged_is_said(project, asked, error, what):
    rules(project, "environments: [TRAINING, SERVING]")
    project.deliver("1.csv", project.morning)
    project.run()
    with project.lake() as lake, pytest.raises(error, match=what):
        lake.validate(FLIGHTS, **asked)


def test_serving_is_another_file_or_dataset(project):
    feature(project, "carrier", "skew: {infinity_norm: 0.3}")
    project.configure("datasets/aviation/served", (project.folder / f"configs/datasets/{FLIGHTS}.yaml").read_text())
    project.deliver("1.csv", day(1, rows=10))
    project.run()
    with project.lake() as lake:
        lake.curate("aviation/served")
    file = project.folder / "serving.csv"
    file.write_text(day(2, rows=10, carrier="ZZ"))
    with project.lake() as lake:
        assert lake.validate(FLIGHTS).measures == ()
        assert lake.validate(FLIGHTS, serving="aviation/served").anomalies == ()
        assert [odd.rule for odd in lake.validate(FLIGHTS, serving=file).anomalies] == [Rule.SKEW]


def test_slices_and_weights_are_measured_in_the_table(project):
    project.deliver("1.csv", project.morning)
    project.deliver("2.csv", project.noon)
    project.run()
    with project.lake() as lake:
        found = lake.statistics(FLIGHTS, slices=["origin"], weight="flight")
        assert {name: one.rows for name, one in found.slices.items()} == {
            "origin=EWR": 1,
            "origin=JFK": 2,
            "origin=LGA": 1,
        }
        assert math.isclose(found.weight or 0, 1545 + 1141 + 725 + 461)


def test_no_value_of_a_personal_feature_is_kept_not_even_when_it_becomes_one_later(project):
    feature(project, "carrier", "personal: true")
    project.deliver("1.csv", day(1, carrier="Secret"))
    project.run()
    zone = project.folder / "data" / "statistics"
    assert not any(b"Secret" in p.read_bytes() for p in zone.rglob("*") if p.is_file())
    with project.lake() as lake:
        assert lake.statistics(FLIGHTS).features["carrier"].frequencies().is_empty()
        assert "Statistics" not in {holding.kind for holding in lake.personal().holdings}
    feature(project, "origin", "personal: true")
    with project.lake() as lake:
        assert lake.statistics(FLIGHTS).features["origin"].frequencies().is_empty()
        (holding,) = [holding for holding in lake.personal().holdings if holding.kind == "Statistics"]
    assert (holding.name, holding.place) == (FLIGHTS, f"statistics/{FLIGHTS}")
    assert holding.why.startswith("origin:")


def test_a_partitioned_batch_is_measured_in_all_its_folders(project):
    project.change(f"datasets/{FLIGHTS}", "event_time:", "partition_by: [carrier, flight]\nevent_time:")
    project.change(f"datasets/{FLIGHTS}", "carrier: {type: string}", "carrier: {type: string, presence: optional}")
    project.deliver("1.csv", day(1, 2, "A=b c/é") + day(2, 3, "NA").partition("\n")[2])
    project.run()
    with project.lake() as lake:
        assert told(lake.statistics(FLIGHTS)) == told(measured_anew(lake))
        assert lake.statistics(FLIGHTS).features["carrier"].missing == 3
        assert kept_files(project)


def test_the_day_of_a_batch_is_in_the_middle_of_its_events():
    days = [date(2013, 1, 1)] * 2 + [date(2013, 1, 2)] * 5 + [date(2030, 1, 1)] * 3 + [None]
    rows = pl.DataFrame({"at": days})
    statistics = generate_statistics(rows)
    assert judging.median_day(statistics, "at") == date(2013, 1, 2)
    assert judging.median_day(statistics, None) is None
    assert judging.median_day(generate_statistics(rows, personal=["at"]), "at") is None
    assert judging.median_day(generate_statistics(rows.filter(pl.col("at").is_null())), "at") is None


@given(st.lists(st.tuples(st.integers(0, 5) | st.none(), st.sampled_from("abc") | st.none()), max_size=40))
@settings(max_examples=25, deadline=None)
def test_doubled_keys_are_counted_the_same_in_any_number_of_pieces(pairs):
    rows = pl.LazyFrame(pairs, schema={"one": pl.Int64, "other": pl.String}, orient="row")
    expected = len(pairs) - len(set(pairs))
    with pytest.MonkeyPatch.context() as patch:
        for piece in (1_000_000, 7, 1):
            patch.setattr(judging, "_PIECE", piece)
            assert judging.doubled(rows, ["one", "other"], len(pairs)) == expected


def test_a_repaired_ledger_knows_what_was_measured_from_receipts_or_from_the_tables_alone(project):
    rules(project, "rows: {min: 3}")
    project.deliver("1.csv", project.morning)
    project.run()
    with project.lake() as lake:
        known = {a.name: (a.type, a.uri, a.properties) for k in ("Statistics", "Anomalies") for a in artifacts(lake, k)}
        before = lake.validate(FLIGHTS).to_json(), lake.history(FLIGHTS)
    for receipts in (True, False):
        for file in (project.folder / "data").glob("metadata.db*"):
            file.unlink()
        if not receipts:
            shutil.rmtree(project.folder / "data" / "receipts")
        Lake.repair(project.folder / "configs", clock=project.clock)
        with project.lake() as lake:
            every = [a for k in ("Statistics", "Anomalies") for a in artifacts(lake, k)]
            assert {a.name: (a.type, a.uri, a.properties) for a in every} == known
            assert lake.validate(FLIGHTS).to_json() == before[0]
            assert [p for p in lake.check() if not p.harmless] == []
    with project.lake() as lake:
        assert lake.history(FLIGHTS)[0].anomalies == before[1][0].anomalies == 1


def test_a_number_is_never_given_again_that_names_statistics(project):
    project.deliver("1.csv", project.morning)
    project.run()
    folder = project.folder / "data" / "statistics" / FLIGHTS / "40"
    folder.mkdir()
    (folder / "anomalies.json").write_text("{}")
    for file in (project.folder / "data").glob("metadata.db*"):
        file.unlink()
    Lake.repair(project.folder / "configs", clock=project.clock)
    project.deliver("2.csv", project.noon)
    assert project.run().curated[0].execution > 40
