"""Exports and imports: plain files with a manifest, from lake to lake, verified by their hashes."""

import dataclasses
import json
import shutil

import polars as pl
import pytest
from copies import command, copied
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import Lake
from lakehouse.errors import ConfigError, FormatError, IntegrityError, NotFoundError, RecordError
from lakehouse.tagged import Manifest
from lakehouse.versions import pieces

PERSONAL = ("carrier: {type: string}", "carrier: {type: string, personal: true}")


@pytest.fixture(scope="module")
def made(tmp_path_factory, new_project):
    """A project with a tag that was exported, which tests copy."""
    project = new_project(tmp_path_factory.mktemp("export") / "project")
    project.change(f"datasets/{project.flights}", *PERSONAL)
    project.deliver("1.csv", project.morning)
    project.run()
    with project.lake() as lake:
        lake.tag("v1", description="one morning")
        lake.export("v1", project.folder.parent / "out")
    return project


@pytest.fixture
def project(made, tmp_path):
    """A project with one version, and a tag of it."""
    return copied(made, tmp_path / "project")


@pytest.fixture
def out(made, tmp_path):
    """The export of that tag."""
    return shutil.copytree(made.folder.parent / "out", tmp_path / "out")


@pytest.fixture
def bare(tmp_path, new_project):
    """A project whose lake is empty."""
    return new_project(tmp_path / "bare")


@pytest.fixture
def other(tmp_path, new_project):
    """Another lake, whose configuration knows no dataset."""
    other = new_project(tmp_path / "other")
    other.clock()
    (other.folder / "configs/jobs/nightly.yaml").unlink()
    (other.folder / f"configs/datasets/{other.flights}.yaml").unlink()
    return other


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")


def parquet(folder):
    return sorted(folder.rglob("*.parquet"))


def exported(project, name, folder, *, form="parquet"):
    """Tag what is there, and export that."""
    with project.lake() as lake:
        lake.tag(name)
        return lake.export(name, folder, form)


# Exporting


def test_an_export_is_files_anybody_reads_and_a_manifest(project, out):
    manifest = json.loads((out / "tags/v1/manifest.json").read_text())["export"]
    one = manifest["datasets"][project.flights]
    (file,) = one["files"]
    rows = pl.read_parquet(out / file["path"])
    assert rows.equals(project.read())
    assert (manifest["tag"], manifest["lake"], manifest["description"]) == ("v1", "project", "one morning")
    assert (one["version"], one["rows"], one["personal"]) == (0, 2, ["carrier"])
    assert [raw["origins"] for raw in one["raw"]] == [["incoming/1.csv"]]
    assert one["schema"]["features"]["flight"] == {"type": "int"}


def test_a_second_export_writes_only_what_is_missing(project, out):
    before = {path: path.stat().st_mtime_ns for path in parquet(out)}
    with project.lake() as lake:
        assert lake.export("v1", out).written == 0
    manifest = (out / "tags/v1/manifest.json").read_bytes()
    project.deliver("2.csv", project.noon)
    project.run()
    done = exported(project, "v2", out)
    assert (done.files, done.written) == (1, 1)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (out / "tags/v1/manifest.json").read_bytes() == manifest


def test_a_newer_tag_leaves_the_files_of_older_rows_as_they_are(project, out, monkeypatch):
    monkeypatch.setattr(pieces, "ROWS", 2)
    for at in range(3):
        project.deliver(f"more{at}.csv", project.noon.replace("725", str(at)))
        project.run()
    done = exported(project, "v2", out)
    assert (done.files, done.written) == (4, 3)
    project.deliver("last.csv", project.noon)
    project.run()
    assert exported(project, "v3", out).written == 1
    project.deliver("more1.csv", project.noon.replace("725", "9"))
    project.run()
    assert exported(project, "v4", out).written == 1


def test_many_rows_of_one_version_go_into_several_files(project, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "ROWS", 2)
    project.deliver(
        "2.csv", project.noon + project.noon.removeprefix(project.header) + "2013-01-02T05:00:00Z,UA,1,EWR,1\n"
    )
    project.run()
    done = exported(project, "v2", tmp_path / "new")
    assert done.files == 4
    rows = pl.concat([pl.read_parquet(path) for path in parquet(tmp_path / "new")])
    assert rows.sort("time_hour", "_row").equals(project.read().sort("time_hour", "_row"))


def test_a_damaged_file_of_a_folder_is_written_again(project, out):
    (file,) = parquet(out)
    data = file.read_bytes()
    file.write_bytes(b"PAR1")
    with project.lake() as lake:
        assert lake.export("v1", out).written == 1
    assert file.read_bytes() == data


def test_csv_holds_the_same_rows_for_programs_that_read_nothing_else(project, tmp_path):
    done = exported(project, "v1", tmp_path / "csv", form="csv")
    (file,) = (tmp_path / "csv").rglob("*.csv")
    assert file.read_text().splitlines()[0].startswith("time_hour,carrier,flight,origin,dep_delay,_raw,_row")
    assert (done.files, len(file.read_text().splitlines())) == (1, 3)


def test_csv_holds_lists_and_structs_as_json(bare, tmp_path):
    project = bare
    project.configure("sources/flights", "type: files\npath: incoming/*\nformat: {type: ndjson}")
    project.configure(
        f"datasets/{project.flights}",
        """
        source: flights
        schema:
          features:
            tags: {type: "list[string]", presence: optional}
            place: {type: struct, fields: {lat: {type: float}}, presence: optional}
        """,
    )
    rows = [{"tags": ["a,b", 'c"'], "place": {"lat": 1.5}}, {"tags": None, "place": None}]
    project.deliver("1.json", "\n".join(map(json.dumps, rows)))
    project.run()
    exported(project, "v1", tmp_path / "out", form="csv")
    (file,) = (tmp_path / "out").rglob("*.csv")
    read = pl.read_csv(file)
    assert [text and json.loads(text) for text in read["tags"]] == [["a,b", 'c"'], None]
    assert [text and json.loads(text) for text in read["place"]] == [{"lat": 1.5}, None]


def test_a_dataset_whose_rows_all_went_is_an_empty_file(project, tmp_path):
    project.deliver("1.csv", project.header)
    project.run()
    done = exported(project, "v2", tmp_path / "new")
    assert (done.rows, done.files) == (0, 1)
    assert pl.read_parquet(parquet(tmp_path / "new")[0]).columns == project.read().columns


def test_an_export_is_recorded_with_what_it_read(project):
    with project.lake() as lake:
        shown = str(lake.lineage("Tag:v1"))
        assert "Export v1:" in shown
        held = {h.name.partition(":")[0]: h.personal for h in lake.personal().holdings}
        assert held["Export"] == "yes"
        assert lake.check() == ()
    assert not list((project.folder / "data/.work").rglob("*.parquet"))


def test_a_killed_export_leaves_no_manifest_of_what_is_not_whole(project, tmp_path):
    new = tmp_path / "new"
    process = project.start("-m", "lakehouse", "export", "v1", str(new), LAKEHOUSE_FAIL_AT="export.written")
    process.communicate(timeout=120)
    assert process.returncode == -9
    assert len(parquet(new)) == 1
    assert not (new / "tags").exists()
    (new / ".incoming/half").write_bytes(b"PAR1")
    with project.lake() as lake:
        assert lake.export("v1", new).written == 0
        assert lake.check() == ()
    assert not list((new / ".incoming").iterdir())


def test_there_is_no_export_of_what_is_no_tag_or_no_form(project, out):
    with project.lake() as lake:
        with pytest.raises(NotFoundError, match="no tag 'v2'"):
            lake.export("v2", out)
        with pytest.raises(ConfigError, match="'xml' is no form of an export"):
            lake.export("v1", out, "xml")


PLANES = """
    source: planes
    history: snapshots
    keys: [tailnum]
    schema:
      features:
        tailnum: {type: string}
        seats: {type: int}
"""


def test_of_a_keyed_dataset_the_state_is_exported_one_row_a_key(bare, other, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "ROWS", 2)
    bare.configure("sources/planes", "type: files\npath: planes/*\nformat: {type: csv}")
    bare.configure("datasets/aviation/planes", PLANES)
    (bare.folder / "planes").mkdir()
    with bare.lake() as lake:
        for at, rows in enumerate(("N1,2\nN2,3\nN3,4\n", "N1,2\nN2,9\nN4,5\n")):
            (bare.folder / f"planes/{at}.csv").write_text(f"tailnum,seats\n{rows}")
            lake.land("planes")
            lake.curate("aviation/planes")
        lake.tag("v1")
        assert lake.export("v1", tmp_path / "new").rows == 3
        rows = lake.read("aviation/planes", tag="v1")
    with other.lake() as lake:
        lake.import_(tmp_path / "new")
        read = lake.read("aviation/planes", tag="v1")
        assert read.sort("tailnum").equals(rows.sort("tailnum"))
        assert dict(read.select("tailnum", "seats").iter_rows()) == {"N1": 2, "N2": 9, "N4": 5}
        with pytest.raises(ConfigError, match="holds the state of 'aviation/planes' and not its past"):
            lake.read("aviation/planes", tag="v1", history=True)


# Importing


def test_an_imported_tag_gives_the_exported_rows_where_nothing_else_is_known(project, out, other):
    with other.lake() as lake:
        done = lake.import_(out)
        assert (done.lake, done.rows, done.new, done.personal) == ("project", 2, 1, {project.flights: ("carrier",)})
        assert lake.read(project.flights, tag="v1").equals(project.read())
        assert lake.check() == ()
        with pytest.raises(NotFoundError, match="no dataset 'aviation/flights'"):
            lake.read(project.flights)
        with pytest.raises(NotFoundError, match=r"does not name 'aviation/flight'\. Did you mean"):
            lake.read("aviation/flight", tag="v1")


def test_importing_twice_is_importing_once(out, other):
    with other.lake() as lake:
        lake.import_(out)
        before = files(other.folder / "data/raw")
        done = lake.import_(out)
        assert (done.execution, done.new) == (0, 0)
        assert len(lake.tags()) == 1
    assert files(other.folder / "data/raw") == before


def test_only_missing_files_are_copied(project, out, other, monkeypatch):
    monkeypatch.setattr(pieces, "ROWS", 2)
    project.deliver("2.csv", project.noon)
    project.run()
    with project.lake() as lake:
        lake.tag("v2")
        lake.export("v2", out)
    with other.lake() as lake:
        lake.import_(out, "v1")
        done = lake.import_(out, "v2")
        assert (done.files, done.new) == (2, 1)
        assert lake.read(project.flights, tag="v2").equals(project.read())


def test_of_several_tags_one_must_be_named(project, out, other):
    with project.lake() as lake:
        lake.tag("report/2026", description="the same versions")
        lake.export("report/2026", out)
    with other.lake() as lake:
        with pytest.raises(ConfigError, match="several exports; say which tag is meant: report/2026, v1"):
            lake.import_(out)
        with pytest.raises(NotFoundError, match="holds no export of tag 'v3'"):
            lake.import_(out, "v3")
        assert lake.import_(out, "report/2026").tag.name == "report/2026"


def test_a_damaged_export_is_refused_and_nothing_of_it_is_seen(out, other):
    (file,) = parquet(out)
    data = file.read_bytes()
    flipped = bytes([data[0] ^ 1, *data[1:]])
    with other.lake() as lake:
        for damaged in (flipped, data[:-1], data + b"x", None):
            file.unlink()
            if damaged is not None:
                file.write_bytes(damaged)
            with pytest.raises(IntegrityError, match=rf"{file.name}.*export it again; nothing was imported"):
                lake.import_(out)
            file.touch()
        assert lake.tags() == ()
        assert [problem for problem in lake.check() if not problem.harmless] == []
    assert not files(other.folder / "data/raw/import")


def test_a_manifest_that_was_changed_is_refused(out, other):
    manifest = out / "tags/v1/manifest.json"
    text = manifest.read_text()
    with other.lake() as lake:
        for changed, says in (
            (text.replace('"rows": 2', '"rows": 3', 1), "it was changed"),
            (text.replace('{"manifest": 1', '{"manifest": 9'), "made by a newer release"),
            (text[:-40], "cannot be imported"),
            ("[]", "it is no manifest"),
        ):
            manifest.write_text(changed)
            with pytest.raises(FormatError, match=says):
                lake.import_(out)


def test_a_manifest_cannot_name_files_outside_of_its_folder(out, other):
    file = out / "tags/v1/manifest.json"
    manifest = Manifest.from_json(file.read_text())
    (name, one), *_ = manifest.datasets.items()
    outside = dataclasses.replace(one, files=(dataclasses.replace(one.files[0], path="../passwd"),))
    file.write_text(dataclasses.replace(manifest, datasets={name: outside}).to_json())
    with other.lake() as lake, pytest.raises(FormatError, match=r"'\.\./passwd' is outside of the export"):
        lake.import_(out)


def test_a_tag_that_means_something_else_here_is_told(out, other):
    other.configure(f"datasets/{other.flights}", "source: flights\nschema: {features: {carrier: {type: string}}}")
    other.deliver("1.csv", "carrier\nUA\n")
    with other.lake() as lake:
        lake.land("flights")
        lake.curate(other.flights)
        lake.tag("v1")
        with pytest.raises(RecordError, match="tag 'v1' names other versions already"):
            lake.import_(out)
        assert lake.read(other.flights, tag="v1")["carrier"].to_list() == ["UA"]


def test_csv_is_for_other_programs(project, other, tmp_path):
    exported(project, "v1", tmp_path / "csv", form="csv")
    with other.lake() as lake, pytest.raises(FormatError, match="does not keep types; export it as parquet"):
        lake.import_(tmp_path / "csv")


def test_the_lake_that_exported_a_tag_has_nothing_to_import(project, out):
    with project.lake() as lake:
        assert lake.import_(out).execution == 0
        assert len(lake.tags()) == 1


def test_an_imported_tag_goes_on_to_a_third_lake_as_it_came(project, out, other, tmp_path, new_project):
    with other.lake() as lake:
        lake.import_(out)
        assert lake.export("v1", tmp_path / "on").written == 1
    assert (tmp_path / "on/tags/v1/manifest.json").read_bytes() == (out / "tags/v1/manifest.json").read_bytes()
    third = new_project(tmp_path / "third")
    with third.lake() as lake:
        lake.import_(tmp_path / "on")
        assert lake.read(project.flights, tag="v1").equals(project.read())


def test_an_import_survives_the_loss_of_the_ledger(project, out, other):
    with other.lake() as lake:
        lake.import_(out)
    (other.folder / "data/metadata.db").unlink()
    Lake.repair(other.folder / "configs", clock=other.clock)
    with other.lake() as lake:
        assert lake.check() == ()
        assert lake.read(project.flights, tag="v1").equals(project.read())


def test_check_finds_a_damaged_imported_file_and_importing_again_mends_a_lost_one(project, out, other):
    with other.lake() as lake:
        lake.import_(out)
        (file,) = parquet(other.folder / "data/raw/import")
        file.chmod(0o644)
        data = bytearray(file.read_bytes())
        data[100] ^= 1
        file.write_bytes(data)
        assert "no longer matches its hash" in str(lake.check()[0])
        file.unlink()
        assert lake.import_(out).new == 1
        assert lake.check() == ()
        assert lake.read(project.flights, tag="v1").equals(project.read())


def test_a_killed_import_shows_nothing_and_is_made_again(project, out, other):
    process = other.start("-m", "lakehouse", "import", str(out), LAKEHOUSE_FAIL_AT="import.published")
    process.communicate(timeout=120)
    assert process.returncode == -9
    with other.lake() as lake:
        assert lake.tags() == ()
        assert all(problem.harmless for problem in lake.check())
        lake.import_(out)
        assert lake.read(project.flights, tag="v1").equals(project.read())
        assert lake.check() == ()


def test_the_record_of_personal_data_knows_what_was_imported(out, other):
    with other.lake() as lake:
        lake.import_(out)
        assert "v1:aviation/flights.carrier" in [holding.name for holding in lake.personal().holdings]


def test_an_imported_state_can_be_compared_with_the_lakes_own(project, out, tmp_path, new_project):
    mine = new_project(tmp_path / "mine")
    mine.deliver("1.csv", project.morning.replace(",2\n", ",7\n"))
    mine.run()
    with mine.lake() as lake:
        lake.import_(out)
        (one,) = lake.diff("tag:v1", f"{mine.flights}@0").datasets.values()
        assert (one.added + one.changed, one.removed + one.changed) == (1, 1)
        assert "imported tag v1" in str(one)


def test_a_source_called_import_stands_in_the_way(out, other):
    shutil.copy(other.folder / "configs/sources/flights.yaml", other.folder / "configs/sources/import.yaml")
    with other.lake() as lake, pytest.raises(ConfigError, match="a source is called 'import'"):
        lake.import_(out)


def test_export_and_import_on_the_command_line(project, out, other):
    told = command(project, "export", "v1", str(out)).output
    assert "v1: 2 rows of 1 dataset in 1 file, 0 of them new" in told
    assert "personal data in aviation/flights: carrier" in told
    told = command(other, "import", str(out)).output
    assert "2 rows of lake 'project' in 1 file, 1 of them new" in told
    assert json.loads(command(other, "--json", "import", str(out)).output)["execution"] == 0
    assert "all of it is here already" in command(other, "import", str(out), "--tag", "v1").output


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n"), max_size=5)
VALUES = st.lists(
    st.tuples(st.integers(-9, 9), st.none() | TEXT, st.none() | st.floats(allow_nan=False, allow_infinity=False)),
    min_size=1,
    max_size=5,
)


@given(st.lists(VALUES, min_size=1, max_size=3))
@settings(max_examples=4, deadline=None)
def test_what_is_exported_and_imported_is_read_as_it_was(tmp_path_factory, new_project, batches):
    folder = tmp_path_factory.mktemp("export")
    one, other = new_project(folder / "one"), new_project(folder / "other")
    one.configure("sources/flights", "type: files\npath: incoming/*\nformat: {type: ndjson}")
    one.configure(
        f"datasets/{one.flights}",
        """
        source: flights
        schema:
          features:
            id: {type: int}
            text: {type: string, presence: optional}
            value: {type: float, presence: optional}
        """,
    )
    with one.lake() as lake:
        for at, batch in enumerate(batches):
            lines = [json.dumps({"id": a, "text": b, "value": c}) for a, b, c in batch]
            one.deliver(f"{at}.json", "\n".join(lines))
            lake.run("nightly")
        lake.tag("v1")
        lake.export("v1", folder / "out")
        rows = lake.read(one.flights, tag="v1")
    with other.lake() as lake:
        lake.import_(folder / "out")
        order = ["_execution", "_raw", "_row"]
        assert lake.read(one.flights, tag="v1").equals(rows.sort(order))
