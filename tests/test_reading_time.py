"""Two axes of time through the front door: random histories of a lake against a model in plain Python."""

import itertools
import os
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.views import keeping

EXAMPLES = int(os.environ.get("LAKEHOUSE_EXAMPLES", "2"))
DAY = datetime(2020, 1, 1, tzinfo=UTC)
DATASET = "aviation/planes"
SOURCE = """
    type: files
    path: planes/*
    format: {type: csv}
"""
PLANES = """
    source: planes
    history: changes
    keys: [tail, part]
    event_time: at
    delete_when: op = 'D'
    schema:
      features:
        at: {type: datetime}
        tail: {type: string}
        part: {type: int, presence: optional}
        op: {type: string, presence: optional}
        seats: {type: int, presence: optional}
"""


def day(number):
    return DAY + timedelta(days=number)


row = st.tuples(
    st.sampled_from("xy"), st.sampled_from([None, 1]), st.integers(0, 4), st.sampled_from("UUUD"), st.integers(0, 2)
)
step = st.one_of(
    st.tuples(st.just("deliver"), st.integers(0, 2), st.lists(row, min_size=1, max_size=5)),
    st.tuples(st.just("deliver"), st.integers(0, 2), st.lists(row, min_size=1, max_size=5)),
    st.tuples(st.just("again"), st.integers(0, 2), st.just([])),
)


class Model:
    """What was recorded: of each step the rows that count after it, each ``(key, day, order, deleted, values)``."""

    def __init__(self):
        self.files = {}  # by origin: its rows as they were curated last
        self.steps = []  # the moment after each step, and the rows that count

    def curated(self, origin, rows, number, moment):
        """A file's rows take the place of those that it had before."""
        self.files[origin] = [
            ((tail, part), at, (number, place), op == "D", (op, seats))
            for place, (tail, part, at, op, seats) in enumerate(rows)
        ]
        self.steps.append((moment, list(itertools.chain(*self.files.values()))))

    @staticmethod
    def spans(rows):
        """Each key's states, deletes too: since when, until when, and what is true."""
        found = {}
        for key, at, _, deleted, values in sorted(rows, key=lambda one: (one[1], one[2])):
            found.setdefault(key, {})[at] = None if deleted else values
        for key, states in found.items():
            found[key] = list(zip(states, [*list(states)[1:], None], states.values(), strict=True))
        return found

    @classmethod
    def state(cls, rows, at):
        """What is true of each key at a moment, and since when."""
        return {
            key: (since, values)
            for key, states in cls.spans(rows).items()
            for since, until, values in states
            if since <= at and (until is None or at < until) and values is not None
        }


def state_of(frame):
    rows = [((r["tail"], r["part"]), ((r["_valid_from"] - DAY).days, (r["op"], r["seats"]))) for r in frame.to_dicts()]
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def history_of(frame):
    return {((r["tail"], r["part"]), r["valid_from"], r["valid_to"], (r["op"], r["seats"])) for r in frame.to_dicts()}


def at_moment(number):
    return None if number is None else day(number)


def play(project, steps):
    """Carry the steps out in a lake; the model of them, and which version each made."""
    project.configure("sources/planes", SOURCE)
    project.configure(f"datasets/{DATASET}", PLANES)
    (project.folder / "planes").mkdir()
    model, versions, contents = Model(), [], {}
    unique = itertools.count()
    with project.lake() as lake:
        for number, (kind, file, rows) in enumerate(steps):
            origin = f"{file}.csv"
            if kind == "again" and origin not in contents:
                continue
            if kind == "deliver":
                lines = [
                    f"{tail},{'' if part is None else part},{day(at):%Y-%m-%dT%H:%M:%SZ},{op},{seats}"
                    for tail, part, at, op, seats in rows
                ]
                # No two files are alike: the same bytes would be the same raw file.
                text = "\n".join(["tail,part,at,op,seats,note", *(f"{line},{next(unique)}" for line in lines)])
                (project.folder / "planes" / origin).write_text(text + "\n")
                contents[origin] = rows
                lake.land("planes")
                done = lake.curate(DATASET)
            else:
                origins = {
                    sha: s.origin for sha, s in ((s.sha256, s) for s in lake._site.ledger.all_sightings("planes"))
                }
                newest = [sha for sha, where in origins.items() if where.endswith(origin)][-1]
                done = lake.curate(DATASET, again=True, raw=[newest])
            versions.append(done.version)
            model.curated(origin, contents[origin], number, project.clock())
    return model, versions


@pytest.mark.parametrize("kept", [False, True], ids=["all rows", "kept states"])
def test_every_question_about_both_times_is_answered_as_the_model_does(kept, new_project, tmp_path, monkeypatch):
    # Kept states are made of however few rows; without them every read adds all rows up.
    monkeypatch.setattr(keeping, "_FEW", 0 if kept else 10**9)
    folders = itertools.count()

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(step, min_size=3, max_size=5))
    def examples(steps):
        project = new_project(tmp_path / str(next(folders)))
        model, versions = play(project, steps)
        if not versions:
            return
        with project.lake() as lake:
            if kept:
                assert list((project.folder / "data/cache").rglob("*.parquet"))
            agree(lake, model, versions)
        shutil.rmtree(project.folder)

    examples()


def agree(lake, model, versions):
    everything = {}
    for (moment, rows), version in zip(model.steps, versions, strict=True):
        newest = state_of(lake.read(DATASET, version=version))
        assert newest == model.state(rows, 99)
        assert state_of(lake.read(DATASET, as_of=moment)) == newest
        for at in (-1, 1, 2, 4):
            found = lake.read(DATASET, version=version, valid_at=day(at))
            assert state_of(found) == model.state(rows, at)
        states = lake.read(DATASET, version=version, history=True)
        assert history_of(states) == {
            (key, day(since), at_moment(until), values)
            for key, spans in model.spans(rows).items()
            for since, until, values in spans
            if values is not None
        }
        everything[version] = (moment, rows)
    compare(lake, model, everything)
    for key in sorted({key for _, rows in model.steps for key, *_ in rows}, key=str)[:2]:
        recorded(lake, model, key)


def compare(lake, model, everything):
    """What changed between any two states."""
    for old, new in [*itertools.pairwise(everything), (min(everything), max(everything))]:
        before, after = (model.state(everything[version][1], 99) for version in (old, new))
        expected = Counter(
            {(key, "insert", after[key]) for key in after.keys() - before.keys()}
            | {(key, "delete", before[key]) for key in before.keys() - after.keys()}
            | {(key, "update", after[key]) for key in after.keys() & before.keys() if after[key] != before[key]}
        )
        found = lake.changes(DATASET, since=old, until=everything[new][0]).collect()
        assert (
            Counter(
                ((r["tail"], r["part"]), r["_change"], ((r["_valid_from"] - DAY).days, (r["op"], r["seats"])))
                for r in found.to_dicts()
            )
            == expected
        )


def recorded(lake, model, key):
    """Of all that was recorded of a key, what holds at a point of both times is what a read gives there."""
    said = lake.history(DATASET, key=dict(zip(("tail", "part"), key, strict=True))).to_dicts()

    def within(moment, since, until):
        return since <= moment and (until is None or moment < until)

    for moment, rows in model.steps:
        for at in range(-1, 6):
            here = [
                r
                for r in said
                if within(moment, r["recorded_at"], r["superseded_at"])
                and within(day(at), r["valid_from"], r["valid_to"])
            ]
            assert len(here) <= 1
            found = [((r["valid_from"] - DAY).days, (r["op"], r["seats"])) for r in here if r["_change"] != "delete"]
            expected = model.state(rows, at).get(key)
            assert found == ([] if expected is None else [expected])
