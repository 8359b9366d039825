"""Impact, what would change if something were wrong; and root cause, why one version differs from another."""

import hashlib
import json
import shutil

import polars as pl
import pytest

from lakehouse import Lake
from lakehouse.errors import ConfigError, NotFoundError
from lakehouse.records import Execution


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def made(tmp_path_factory, new_project):
    """Version 0 of a.csv and b.csv (a row of it bad); 1 after b.csv changed; 2 with c.csv; 3 all again, a type changed.

    A model of version 0, metrics of it.
    """
    project = new_project(tmp_path_factory.mktemp("causes") / "made")
    project.texts = {
        "a": project.morning,
        "b": project.noon + "2013-01-01T14:00:00Z,UA,one,EWR,2\n",
        "b2": project.noon.replace("DL", "AA"),
        "c": project.header + "2013-01-01T20:00:00Z,UA,9,EWR,2\n",
    }
    project.deliver("a.csv", project.texts["a"])
    project.deliver("b.csv", project.texts["b"])
    project.run()
    with project.lake() as lake:
        with lake.execution("Train", inputs=["aviation/flights"]) as run:
            run.output("Model", "s3://models/1", name="churn")
        with lake.execution("Evaluate", inputs=["Model:churn"]) as run:
            run.output("Metrics", "s3://metrics/1", name="quality")
    project.deliver("b.csv", project.texts["b2"])
    project.run()
    project.deliver("c.csv", project.texts["c"])
    project.run()
    project.change("datasets/aviation/flights", "dep_delay: {type: int", "dep_delay: {type: float")
    with project.lake() as lake:
        lake.curate("aviation/flights", again=True)
    return project


@pytest.fixture
def lake(made, tmp_path):
    shutil.copytree(made.folder, tmp_path / "project")
    with Lake(tmp_path / "project/configs", clock=made.clock) as opened:
        yield opened


def impact(lake, what):
    return lake.lineage(what, direction="down").impact()


def test_the_impact_of_a_raw_file_are_the_versions_with_its_rows_its_quarantine_and_all_made_of_them(lake, made):
    found = impact(lake, sha(made.texts["b"]))
    versions = {v.version: v for v in lake.history("aviation/flights")}
    (shown,) = found.shown
    assert (shown.dataset, shown.rows, shown.first, shown.last) == ("aviation/flights", 2, 0, 0)
    assert shown.until == versions[1].committed_at.isoformat()
    assert [(bad.dataset, bad.rows) for bad in found.rejected] == [("aviation/flights", 1)]
    assert [(one.id, one.of) for one in found.made] == [
        ("Model:churn@0", ("aviation/flights@0",)),
        ("Metrics:quality@0", ("Model:churn@0",)),
    ]
    assert found.whole
    lines = str(found).splitlines()
    assert lines[0].startswith("RawFile b.csv (")
    assert lines[1].startswith("  aviation/flights: 2 rows of execution:3 in version 0, left out since 2026-01-01 ")
    assert lines[2] == "  aviation/flights: 1 row of execution:3 in quarantine"
    assert lines[3] == "  Model churn@0 at s3://models/1, made by execution:4 of aviation/flights@0"


def test_the_impact_of_a_raw_file_that_was_curated_again_names_both_curations(lake, made):
    found = impact(lake, sha(made.texts["a"]))
    assert [(s.first, s.last, s.rows) for s in found.shown] == [(0, 2, 2), (3, None, 2)]
    assert "  aviation/flights: 2 rows of execution:12 since version 3, still" in str(found).splitlines()


def test_impact_agrees_with_the_rows_of_every_version(lake, made):
    rows = {v.version: lake.read("aviation/flights", version=v.version) for v in lake.history("aviation/flights")}
    for text in made.texts.values():
        spans = impact(lake, sha(text)).shown
        for version, frame in rows.items():
            told = sum(s.rows for s in spans if s.first <= version and (s.last is None or version <= s.last))
            assert told == frame.filter(pl.col("_raw") == sha(text)).height


def test_a_raw_file_that_nothing_came_of_has_no_impact(project):
    project.deliver("a.csv", project.morning)
    with project.lake() as lake:
        lake.land("flights")
        found = impact(lake, sha(project.morning))
        assert (found.shown, found.rejected, found.made) == ((), (), ())
        assert str(found).endswith("\n  nothing came of it")


def test_the_same_bytes_under_another_source_are_part_of_the_impact(project):
    project.configure("sources/other", "type: files\npath: incoming/*\nformat: {type: csv}")
    project.deliver("a.csv", project.morning)
    with project.lake() as lake:
        lake.run("nightly")
        lake.land("other")
        assert len(impact(lake, sha(project.morning)).focus) == 2


def test_a_bounded_impact_says_that_it_is_not_all(lake, made):
    found = lake.lineage(sha(made.texts["a"]), direction="down", hops=2).impact()
    assert not found.whole
    assert str(found).endswith("\n  … and what the bounds left out")
    assert json.loads(found.to_json())["whole"] is False


def test_the_impact_of_a_curation_or_version_goes_on_to_what_was_made_of_it(lake):
    assert [one.id for one in impact(lake, "execution:3").made] == ["Model:churn@0", "Metrics:quality@0"]
    assert [one.id for one in impact(lake, "aviation/flights@0").made] == ["Model:churn@0", "Metrics:quality@0"]
    assert [one.id for one in impact(lake, "Model:churn").made] == ["Metrics:quality@0"]


def changes(found):
    return [(file.how, file.name, file.rows_added, file.rows_removed) for file in found.files]


def test_a_replaced_file_is_told_with_what_it_replaced(lake, made):
    found = lake.causes("aviation/flights@1", 0)
    assert changes(found) == [("replaced", "b.csv", 2, 2)]
    assert found.files[0].replaces == (sha(made.texts["b"]),)
    assert found.files[0].origins == ("incoming/b.csv",)
    assert (found.rows, found.rows_against, found.changes) == (4, 4, ())
    assert f"  replaced: b.csv ({sha(made.texts['b2'])[:12]}) from incoming/b.csv in place of" in str(found)


def test_without_another_version_it_is_the_one_before(lake):
    assert lake.causes("aviation/flights@2") == lake.causes("aviation/flights@2", 1)
    assert changes(lake.causes("aviation/flights@2")) == [("added", "c.csv", 1, 0)]
    assert lake.causes("aviation/flights").against == 2


def test_a_changed_type_is_told_across_generations_of_the_table(lake):
    found = lake.causes("aviation/flights@3", 2)
    assert {v.uri for v in lake.history("aviation/flights")} == {
        "curated/aviation/flights",
        "curated/aviation/flights~2",
    }
    assert found.changes == ("feature dep_delay: type int -> float",)
    assert {(how, added, removed) for how, _, added, removed in changes(found)} == {
        ("curated again", 2, 2),
        ("curated again", 1, 1),
    }
    assert [(step.version, step.changes) for step in found.steps] == [(3, found.changes)]


def test_steps_between_distant_versions_each_tell_what_changed(lake):
    found = lake.causes("aviation/flights@3", 0)
    assert [(step.version, step.changes) for step in found.steps] == [
        (1, ()),
        (2, ()),
        (3, ("feature dep_delay: type int -> float",)),
    ]
    assert {(file.how, file.name) for file in found.files} == {
        ("curated again", "a.csv"),
        ("replaced", "b.csv"),
        ("added", "c.csv"),
    }


def test_in_the_other_order_it_is_the_other_way_round(lake):
    for new in range(4):
        for old in range(4):
            there, back = (lake.causes(f"aviation/flights@{a}", b) for a, b in ((new, old), (old, new)))
            assert (there.rows, there.rows_against) == (back.rows_against, back.rows)
            assert sum(f.rows_added - f.rows_removed for f in there.files) == there.rows - there.rows_against
            assert sum(f.rows_added for f in there.files) == sum(f.rows_removed for f in back.files)
            assert there.steps == back.steps
            assert [change.split()[-3::2] for change in there.changes] == [
                change.split()[-1:-4:-2] for change in back.changes
            ]


def test_a_version_against_itself_has_no_cause(lake):
    found = lake.causes("aviation/flights@1", 1)
    assert (found.files, found.changes, found.steps) == ((), (), ())
    assert str(found).splitlines()[1:] == ["  no raw file, no code and no configuration differs"]


def test_every_part_of_configuration_and_code_is_named_where_it_changed(project):
    project.deliver("a.csv", project.morning)
    project.run()
    about = f"datasets/{project.flights}"
    project.change(about, "keys:", "max_rejected: 5%\nrename: {delay: dep_delay}\nderive: {late: dep_delay > 0}\nkeys:")
    project.change(
        about,
        "dep_delay: {type: int, presence: optional}",
        "dep_delay: {type: int, domain: {min: -9}, presence: optional}",
    )
    project.change(about, "", "    late: {type: bool, presence: optional}")
    project.change("sources/flights", "null_values: [NA]", "null_values: [NA, '-']")
    with project.lake() as lake:
        lake.curate(project.flights, again=True)
        found = lake.causes(project.flights)
    assert set(found.changes) >= {
        "max_rejected none -> 5%",
        "rename.delay none -> dep_delay",
        "derive.late none -> dep_delay > 0",
        "feature dep_delay: domain: min none -> -9",
        "feature late: type none -> bool",
        'format null_values ["NA"] -> ["NA", "-"]',
    }


def test_a_changed_function_and_commit_are_named(project):
    def function(text):
        path = project.folder / "jobs/shape.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"def curate(rows):\n    return rows  # {text}\n", "utf-8")

    project.change(f"datasets/{project.flights}", "keys:", "curate: jobs.shape.curate\nkeys:")
    project.deliver("a.csv", project.morning)
    function("one")
    project.run()
    function("other")
    with project.lake() as lake:
        lake.curate(project.flights, again=True)
        (change,) = lake.causes(project.flights).changes
    assert change.startswith("file of the function ")


def test_other_packages_python_code_and_machine_are_named(lake):
    ledger = lake._site.ledger
    last = ledger.get_executions(type="Curate", newest_first=True, limit=1)[0]
    packages = str(last.properties["packages"]).split()
    changed = {
        "packages": " ".join(["polars=99.0", "extra=1", *(p for p in packages if not p.startswith("polars="))]),
        "python": "3.99",
        "machine": "elsewhere",
        "code_version": "f00d-dirty",
    }
    ledger.put_execution(Execution("Curate", id=last.id, state=last.state, properties=changed))
    told = lake.causes("aviation/flights@3", 2).changes
    starts = {"code none -> f00d-dirty", "package extra none -> 1", "feature dep_delay: type int -> float"}
    assert starts <= set(told)
    assert {change.split()[0] for change in told if change.endswith(("-> 3.99", "-> elsewhere"))} == {
        "Python",
        "machine",
    }
    assert [change for change in told if change.startswith("package polars ") and change.endswith("-> 99.0")]
    assert len(told) == 6


@pytest.mark.parametrize(
    ("what", "against", "error", "says"),
    [
        ("aviation/flights@9", None, NotFoundError, "has no version 9"),
        ("aviation/flights@1", 9, NotFoundError, "has no version 9"),
        ("aviation/flights@0", None, NotFoundError, "is the first version"),
        ("execution:3", 1, ConfigError, "is no dataset"),
    ],
)
def test_versions_that_are_not_there_are_said(lake, what, against, error, says):
    with pytest.raises(error, match=says):
        lake.causes(what, against)


def test_the_json_of_causes_holds_everything(lake):
    value = json.loads(lake.causes("aviation/flights@1", 0).to_json())
    assert (value["dataset"], value["version"], value["against"]) == ("aviation/flights", 1, 0)
    assert value["files"][0]["how"] == "replaced"
    assert value["steps"] == [{"execution": 8, "version": 1, "changes": []}]
