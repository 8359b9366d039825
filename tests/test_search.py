"""Discovery: what there is, who uses it, and where a word is met."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from sqlalchemy import event

from lakehouse.cli import program
from lakehouse.errors import ConfigError, NotFoundError

PLACES = "type: files\npath: ports/*\nformat: {type: csv}\ndescription: From the ministry."
PORTS = """
    description: Airports by their code.
    owner: geo@example.com
    labels: [places, golden]
    source: ports
    keys: [faa]
    schema:
      features:
        faa: {type: string}
        windSpeed: {type: float, presence: optional, unit: knots, description: At the tower.}
"""
LATE = """
    description: What lateness is told from.
    owner: models@example.com
    labels: [golden]
    entity: [carrier, flight, origin]
    features: [aviation/flights:dep_delay]
"""


@pytest.fixture
def found(project):
    """The project with a second subject, a feature set and words to find."""
    project.change("datasets/aviation/flights", "source: flights", "source: flights\ndescription: Departures of a day.")
    project.configure("sources/ports", PLACES)
    project.configure("datasets/geography/ports", PORTS)
    project.configure("features/lateness", LATE)
    project.deliver("a.csv", project.morning)
    assert project.run().ok
    return project


def names(lake, text, **more):
    return [f"{hit.kind} {hit.name}" for hit in lake.search(text, **more)]


def test_a_word_is_met_in_names_before_descriptions_and_in_what_things_are_made_of(found):
    with found.lake() as lake:
        assert names(lake, "dep_delay") == [
            "feature aviation/flights:dep_delay",
            "dataset aviation/flights",
            "feature_set lateness",
        ]
        assert names(lake, "ports")[:2] == ["dataset geography/ports", "source ports"]
        assert names(lake, "ministry") == ["source ports"]
        assert names(lake, "golden") == ["dataset geography/ports", "feature_set lateness"]
        assert names(lake, "geography")[0] == "subject geography"
        assert names(lake, "models") == ["feature_set lateness"]
        assert names(lake, "nightly") == ["job nightly"]
        assert names(lake, "DATETIME") == ["feature aviation/flights:time_hour"]


def test_every_word_is_to_be_met_and_a_part_or_a_slip_will_do(found):
    with found.lake() as lake:
        assert names(lake, "geography wind") == ["feature geography/ports:windSpeed", "dataset geography/ports"]
        assert names(lake, "speed knots") == ["feature geography/ports:windSpeed"]
        assert names(lake, "carr")[0] == "feature aviation/flights:carrier"
        assert names(lake, "arrier")[0] == "feature aviation/flights:carrier"
        assert names(lake, "carreir")[0] == "feature aviation/flights:carrier"
        assert names(lake, "Departrues") == ["dataset aviation/flights"]
        assert names(lake, "carrier knots") == []
        assert names(lake, "zzzz") == []
        assert len(lake.search("a", limit=2)) == 2
        with pytest.raises(ConfigError, match="no word"):
            lake.search("--- ?")


def test_a_hit_says_how_much_there_is_and_since_when(found):
    with found.lake() as lake:
        (hit, *_) = lake.search("departures")
        assert (hit.kind, hit.rows, hit.met, hit.owner) == ("dataset", 2, ("description",), "")
        assert hit.committed_at == lake.history("aviation/flights")[0].committed_at
        (port, *_) = lake.search("airports code")
        assert (port.name, port.rows, port.committed_at) == ("geography/ports", None, None)


def test_a_search_and_a_list_ask_the_ledger_as_much_for_many_datasets_as_for_few(found):
    def asked(look):
        count = []
        with found.lake() as lake:
            engine = lake._site.ledger._database._engine
            event.listen(engine, "before_cursor_execute", lambda *_: count.append(1))
            look(lake)
        return len(count)

    few = [asked(lambda lake: lake.list()), asked(lambda lake: lake.search("carrier"))]
    for number in range(40):
        found.configure(f"datasets/many/d{number}", PORTS.replace("faa", "carrier"))
    many = [asked(lambda lake: lake.list()), asked(lambda lake: lake.search("carrier", limit=None))]
    assert many == few


def test_a_list_can_be_of_one_subject(found):
    with found.lake() as lake:
        told = lake.list(subject="aviation")
        assert [d.name for d in told.datasets] == ["aviation/flights"]
        assert [s.name for s in told.sources] == ["flights"]
        assert [j.name for j in told.jobs] == ["nightly"]
        assert [f.name for f in told.feature_sets] == ["lateness"]
        assert [f.name for f in lake.list(subject="geography").feature_sets] == []
        with pytest.raises(NotFoundError, match="Did you mean 'aviation'"):
            lake.list(subject="avation")


def test_a_dataset_says_how_fresh_it_is_and_who_uses_it(found):
    with found.lake() as lake:
        lake.publish("lateness")
        with lake.execution("Train", ["aviation/flights"]) as run:
            run.output("Model", "model.bin", name="late")
        told = lake.show("aviation/flights")
        assert told.freshness.event_time == datetime(2013, 1, 1, 6, tzinfo=UTC)
        assert told.freshness.committed_at == told.versions[-1].committed_at
        assert [(use.kind, use.what, use.times) for use in told.used_by] == [
            ("feature_set", "lateness", 1),
            ("job", "nightly", 1),
            ("step", "Publish", 1),
            ("step", "Train", 1),
            ("artifact", "Model:late", 1),
            ("artifact", "OnlineStore:lateness", 1),
        ]
        assert lake.show("geography/ports").freshness is None


def test_a_feature_says_what_it_is_like_what_it_is_made_from_and_who_uses_it(found):
    with found.lake() as lake:
        with lake.execution("Train", {"aviation/flights": ["carrier"]}) as run:
            run.output("Model", "model.bin", name="late")
        told = lake.show("aviation/flights:dep_delay")
        assert (told.kind, told.settings["type"], told.settings["made_from"]) == ("feature", "int", "dep_delay")
        assert told.statistics["max"] == 2
        assert told.statistics["missing"] == 0
        assert [use.what for use in told.used_by] == ["lateness"]
        assert [use.what for use in lake.show("aviation/flights:carrier").used_by] == ["Train", "Model:late"]
        assert lake.show("aviation/flights:carrier").statistics["top"] == ["AA", "UA"]
        with pytest.raises(NotFoundError, match=r"no feature 'depdelay'. Did you mean 'dep_delay'"):
            lake.show("aviation/flights:depdelay")


def test_personal_values_are_not_shown(found):
    found.change("datasets/aviation/flights", "carrier: {type: string}", "carrier: {type: string, personal: true}")
    with found.lake() as lake:
        told = lake.show("aviation/flights:carrier")
        assert told.settings["personal"]
        assert set(told.statistics) <= {"rows", "missing"}
        assert "AA" not in str(told.statistics)


def test_a_feature_set_says_how_far_its_store_is_behind(found):
    with found.lake() as lake:
        assert "published" not in lake.show("lateness").settings
        lake.publish("lateness")
        assert lake.show("lateness").settings["behind"] == "nothing"
        found.deliver("b.csv", found.noon)
        lake.run("nightly")
        told = lake.show("lateness")
        assert told.settings["behind"] == ["aviation/flights@1"]
        assert told.settings["published"]["keys"] == 2
        assert [feature.name for feature in told.features] == ["aviation/flights:dep_delay"]


def test_a_subject_is_shown_where_nothing_else_has_its_name(found):
    with found.lake() as lake:
        told = lake.show("aviation")
        assert (told.kind, [d.rows for d in told.datasets]) == ("subject", [2])
        assert [use.what for use in told.used_by] == ["lateness", "nightly"]
    found.configure("sources/aviation", "type: files\npath: none/*\nformat: {type: csv}")
    with found.lake() as lake:
        assert lake.show("aviation").kind == "source"
        assert lake.show("aviation", "subject").kind == "subject"
        with pytest.raises(NotFoundError, match="Did you mean 'lateness'"):
            lake.show("latenes")


def test_the_commands_speak_of_it(found):
    def say(*arguments):
        result = CliRunner().invoke(program, ["--configs", str(found.folder / "configs"), *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    assert "feature      aviation/flights:dep_delay" in say("search", "dep", "delay")
    assert "nothing is met by 'zzzz'; `lakehouse list` shows all there is" in say("search", "zzzz")
    assert json.loads(say("search", "golden", "--json"))[0]["name"] == "geography/ports"
    assert "geography" not in say("list", "--subject", "aviation")
    assert "made from: dep_delay" in say("show", "aviation/flights:dep_delay")
    assert "used by feature sets: lateness" in say("show", "aviation/flights")
    assert "newest event 2013-01-01 06:00:00Z" in say("show", "aviation/flights")
    assert "subject geography: 1 dataset, 0 rows" in say("show", "geography")
    assert "labels: golden" in say("show", "lateness")
