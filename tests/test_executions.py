"""Users' own steps: recorded from start to end, with what they read and made, whatever becomes of them."""

import hashlib
import json
import numbers
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import types
from datetime import date
from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest

from lakehouse.errors import MetadataError, NotFoundError, RecordError
from lakehouse.records import ExecutionState


@pytest.fixture(scope="module")
def made(tmp_path_factory, new_project):
    """A project with two versions of its flights."""
    project = new_project(tmp_path_factory.mktemp("made") / "project")
    for name, content in (("morning.csv", project.morning), ("noon.csv", project.noon)):
        project.deliver(name, content)
        project.run()
    return project


@pytest.fixture
def flown(made, project):
    """A copy of it for each test."""
    shutil.copytree(made.folder, project.folder, dirs_exist_ok=True)
    project.clock.now = made.clock.now
    return project


@pytest.fixture
def lake(flown):
    with flown.lake() as opened:
        yield opened


def recorded(lake, number):
    """An execution as the ledger has it."""
    return lake._site.ledger.get_executions(ids=[number])[0]


def models(lake):
    return lake._site.ledger.get_artifacts(type="Model")


def test_a_step_runs_while_it_runs_and_is_complete_with_its_outputs_at_its_end(lake):
    with lake.execution(
        "Train", inputs=["aviation/flights@0"], parameters={"lr": 0.1, "depth": 3}, name="first"
    ) as run:
        begun = recorded(lake, run.id)
        assert (begun.type, begun.state) == ("Train", ExecutionState.RUNNING)
        assert begun.custom_properties == {"lr": 0.1, "depth": 3}
        run.output("Model", "s3://models/churn.pkl", name="churn", auc=0.91, stages=[1, 2])
        assert models(lake) == []
    assert recorded(lake, run.id).state is ExecutionState.COMPLETE
    assert recorded(lake, run.id).properties["name"] == "first"
    [model] = models(lake)
    assert (model.name, model.uri) == ("churn@0", "s3://models/churn.pkl")
    assert model.properties == {"auc": 0.91, "stages": [1, 2]}
    assert run.outputs == ("Model:churn@0",)


def test_a_dataset_without_a_version_is_pinned_to_its_newest(lake, flown):
    with lake.execution("Train", inputs=[flown.flights]) as run:
        assert run.inputs == ("aviation/flights@1",)
        assert run.input("aviation/flights@0") == ("aviation/flights@0",)
    assert run.inputs == ("aviation/flights@1", "aviation/flights@0")
    assert {"aviation/flights@0", "aviation/flights@1"} <= {node.id for node in lake.lineage(run.id).upstream().nodes}


def test_every_form_of_a_reference_can_be_read(lake, flown):
    with lake.execution("Train") as first:
        first.output("Model", "s3://models/a", name="a")
        first.output("Metrics", "s3://metrics/1")
    sha = hashlib.sha256(flown.morning.encode()).hexdigest()
    [metrics] = lake._site.ledger.get_artifacts(type="Metrics")
    forms = [
        "Model:a",
        "Model:a@0",
        "s3://metrics/1",
        f"artifact:{metrics.id}",
        sha[:8],
        f"execution:{first.id}",
        first.id,
    ]
    with lake.execution("Report", inputs=forms) as run:
        pass
    assert run.inputs == ("Model:a@0", f"artifact:{metrics.id}", sha)
    seen = {node.id for node in lake.lineage(sha).downstream().nodes}
    assert f"execution:{run.id}" in seen


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("aviation/flihgts", "Did you mean 'aviation/flights'"),
        ("aviation/flights@7", "there is 0, 1"),
        ("aviation/flights@new", "is no version"),
        ("execution:99", "the newest is execution:"),
        ("artifact:99", "no artifact:99"),
        ("Model:churm", "Did you mean 'churn'"),
        ("Model:churn@5", "there is 0"),
        ("Nothing:x", "no named artifact of that type"),
        ("s3://nowhere", "no artifact has the URI"),
        ("deadbeef", "no raw file's sha256 starts with"),
        ("flights", "names nothing; write"),
    ],
)
def test_an_input_that_is_not_there_is_refused_with_what_there_is(lake, wrong, hint):
    with lake.execution("Train") as run:
        run.output("Model", "s3://models/churn", name="churn")
    with pytest.raises(NotFoundError, match=hint), lake.execution("Train", inputs=[wrong]):
        pytest.fail("it must not begin")
    assert len(lake._site.ledger.get_executions(type="Train")) == 1


def test_a_second_output_of_one_name_is_its_next_version(lake):
    for auc in (0.5, 0.7):
        with lake.execution("Train") as run:
            run.output("Model", "models/churn.pkl", name="churn", auc=auc)
            run.output("Model", "models/churn.pkl", name='it\'s "100%"_\\', auc=auc)
    assert run.outputs == ("Model:churn@1", 'Model:it\'s "100%"_\\@1')
    with lake.execution("Use", inputs=["Model:churn", "Model:churn@0"]) as use:
        pass
    assert use.inputs == ("Model:churn@1", "Model:churn@0")
    assert models(lake)[0].uri == (pathlib.Path.cwd() / "models/churn.pkl").as_uri()


def test_what_has_an_external_id_already_is_the_same_artifact_with_another_maker(lake):
    for _ in range(2):
        with lake.execution("Train") as run:
            run.output("Model", "s3://models/a", name="a", external_id="sha256:abc", auc=0.5)
    assert run.outputs == ("Model:a@0",)
    assert len(models(lake)) == 1
    makers = [node for node in lake.lineage("Model:a").upstream().nodes if node.kind == "Train"]
    assert len(makers) == 2


def test_the_same_external_id_twice_in_a_step_is_one_artifact(lake):
    with lake.execution("Train") as run:
        for _ in range(2):
            run.output("Model", "s3://a", name="a", external_id="sha256:1")
        run.output("Model", "s3://b", name="a")
    assert run.outputs == ("Model:a@0", "Model:a@1")
    assert [model.name for model in models(lake)] == ["a@0", "a@1"]


def test_an_error_that_cannot_be_told_marks_the_step_failed_too(lake):
    class UnprintableError(Exception):
        def __str__(self):
            raise RuntimeError

    with pytest.raises(UnprintableError), lake.execution("Train") as run:
        raise UnprintableError
    found = recorded(lake, run.id)
    assert (found.state, found.properties["error"]) == (ExecutionState.FAILED, "UnprintableError: (it cannot be told)")


def test_an_error_inside_marks_the_step_failed_and_is_raised_again(lake):
    def train():
        with lake.execution("Train", inputs=["aviation/flights"]) as run:
            run.output("Model", "s3://models/a", name="a")
            runs.append(run)
            raise ZeroDivisionError("of a kind")

    runs = []
    with pytest.raises(ZeroDivisionError):
        train()
    [run] = runs
    failed = recorded(lake, run.id)
    assert failed.state is ExecutionState.FAILED
    assert failed.properties["error"] == "ZeroDivisionError: of a kind"
    assert failed.properties["traceback"].endswith('in train: raise ZeroDivisionError("of a kind")')
    assert models(lake) == []


def test_an_interrupt_marks_the_step_failed_too(lake):
    with pytest.raises(KeyboardInterrupt), lake.execution("Train") as run:
        raise KeyboardInterrupt
    assert recorded(lake, run.id).state is ExecutionState.FAILED
    assert recorded(lake, run.id).properties["error"].startswith("KeyboardInterrupt")


def test_no_secret_of_the_configuration_reaches_the_record(flown, monkeypatch):
    monkeypatch.setenv("KEY", "hunter2hunter2")
    flown.configure("sources/web", "type: http\nurl: https://example.com/a\nheaders: {key: '${KEY}'}\nformat: csv")
    with flown.lake() as lake:
        with lake.execution("Train", parameters={"key": "hunter2hunter2", "all": {"key": ["hunter2hunter2"]}}) as run:
            run.output("Model", "s3://u:hunter2hunter2@models/a", note="with hunter2hunter2")
            [found] = run.input("aviation/flights")
        with lake.execution("Use", inputs=["s3://u:hunter2hunter2@models/a"]) as use:
            pass
        assert (found, use.inputs) == ("aviation/flights@1", run.outputs)
        with pytest.raises(ValueError, match="hunter2"), lake.execution("Train"):
            raise ValueError("the key is hunter2hunter2")
    assert b"hunter2" not in b"".join(p.read_bytes() for p in (flown.folder / "data").rglob("*") if p.is_file())


def test_what_was_running_is_known_of_every_step(lake, flown):
    script = flown.folder / "work" / "train.py"
    script.parent.mkdir()
    script.write_text("with lake.execution('Train') as run:\n    pass\n")
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.com", "-C", str(script.parent)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "c"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    space = {"lake": lake}
    for expected in (commit, f"{commit}-dirty"):
        exec(compile(script.read_text(), str(script), "exec"), space)
        known = recorded(lake, space["run"].id).properties
        assert known["script"] == str(script)
        assert known["script_hash"] == hashlib.sha256(script.read_bytes()).hexdigest()
        assert known["script_version"] == expected
        script.write_text(script.read_text() + "# changed\n")
    assert {f"polars={pl.__version__}", f"pytest={pytest.__version__}"} <= set(known["packages"].split())
    assert {"polars", "sqlalchemy", "pydantic"} <= {package.partition("=")[0] for package in known["packages"].split()}
    assert known["python"].startswith("3.")
    assert known["machine"]
    assert known["code_version"] == "none"


@numbers.Integral.register
class Int8:
    """A whole number that is no int, as NumPy has them."""

    def __int__(self):
        return 3


class Array:
    """Values as NumPy has them: arrays, flags (its bool is none of Python's) and moments."""

    def __init__(self, plain, kind="f"):
        self.plain = plain
        self.dtype = types.SimpleNamespace(kind=kind)

    def tolist(self):
        """The plain values."""
        return self.plain

    def astype(self, _text):
        """The same as text."""
        return Array("2026-01-02", "U")


def test_numbers_of_other_libraries_paths_and_moments_are_stored_as_what_they_are(lake):
    given = {
        "int": Int8(),
        "float": Fraction(1, 2),
        "decimal": Decimal("1.5"),
        "array": Array([[0.5], [1.0]]),
        "numpy": {"flag": Array(plain=True, kind="b"), "moment": Array(1767312000, "M")},
        "path": pathlib.Path("a/b"),
        "day": date(2026, 1, 2),
        "set": {1},
        "flag": True,
        "none": None,
        "nested": {"none": None, "n": (Int8(),)},
    }
    with lake.execution("Train", parameters=given) as run:
        pass
    assert recorded(lake, run.id).custom_properties == {
        "int": 3,
        "float": 0.5,
        "decimal": 1.5,
        "array": [[0.5], [1.0]],
        "numpy": {"flag": True, "moment": "2026-01-02"},
        "path": "a/b",
        "day": "2026-01-02",
        "set": [1],
        "flag": True,
        "nested": {"none": None, "n": [3]},
    }


def test_an_int_where_there_were_floats_is_a_float_and_any_other_change_of_type_is_refused_by_name(lake):
    with lake.execution("Train") as run:
        run.output("Model", "s3://a", auc=1, loss=2)
        run.output("Model", "s3://b", auc=0.5)
    assert [model.properties["auc"] for model in models(lake)] == [1.0, 0.5]
    assert isinstance(models(lake)[0].properties["auc"], float)
    with lake.execution("Train") as run:
        run.output("Model", "s3://c", auc=1)
        for wrong in ({"auc": "high"}, {"auc": True}, {"loss": 0.5}):
            with pytest.raises(RecordError, match=f"Property '{next(iter(wrong))}' of Model is"):
                run.output("Model", "s3://c", **wrong)
    assert models(lake)[-1].properties == {"auc": 1.0}


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (lambda run: run.output("TableVersion", "s3://a"), "the lake's own type of artifact"),
        (lambda run: run.output("a b", "s3://a"), "cannot be a type of artifact"),
        (lambda run: run.output("artifact", "s3://a"), "cannot be a type of artifact"),
        (lambda run: run.output("Model", "s3://a", name="a@3"), "the lake adds its version"),
        (lambda run: run.output("Model", "s3://a", name=" "), "cannot be the name"),
        (lambda run: run.output("Model", ""), "the URI of a Model is empty"),
        (lambda run: run.output("Model", "s3://a", thing=object()), "property 'thing' of Model: a object cannot"),
        (lambda run: run.input("aviation/flights", ["no"]), "has no column 'no'"),
        (lambda run: run.input("Model:first", ["no"]), "is no dataset's version"),
    ],
)
def test_what_cannot_be_recorded_is_refused_where_it_is_told_and_the_step_goes_on(lake, told, message):
    with lake.execution("Train") as run:
        run.output("Model", "s3://first", name="first")
    with lake.execution("Train") as run:
        with pytest.raises((MetadataError, NotFoundError), match=message):
            told(run)
        run.output("Model", "s3://good")
    assert recorded(lake, run.id).state is ExecutionState.COMPLETE
    assert models(lake)[-1].uri == "s3://good"


@pytest.mark.parametrize("kind", ["Land", "Curate", "execution", "a:b", ""])
def test_a_type_that_is_the_lakes_own_or_no_word_is_refused(lake, kind):
    with pytest.raises(RecordError, match="type of execution"), lake.execution(kind):
        pytest.fail("it must not begin")


def test_nothing_more_can_be_said_of_a_step_that_ended(lake):
    with lake.execution("Train") as run:
        pass
    for told in (lambda: run.input("aviation/flights"), lambda: run.output("Model", "s3://a")):
        with pytest.raises(MetadataError, match="has ended"):
            told()


def test_the_columns_that_are_read_are_kept(lake):
    with lake.execution("Train", inputs={"aviation/flights": ["dep_delay", "_row"], "aviation/flights@0": None}) as run:
        pass
    assert json.loads(recorded(lake, run.id).properties["columns"]) == {"aviation/flights@1": ["dep_delay", "_row"]}
    assert run.inputs == ("aviation/flights@1", "aviation/flights@0")


def test_one_reference_and_one_column_need_no_list_and_what_is_read_adds_up(lake, flown):
    with lake.execution("Train", inputs=flown.flights) as run:
        assert run.inputs == ("aviation/flights@1",)
    with lake.execution("Train", inputs={flown.flights: "carrier"}) as run:
        run.input(flown.flights, ["origin", "carrier"])
        run.input("aviation/flights@0", ["carrier"])
        run.input("aviation/flights@0")
        run.input("aviation/flights@0", ["origin"])
    assert json.loads(recorded(lake, run.id).properties["columns"]) == {"aviation/flights@1": ["carrier", "origin"]}


def test_steps_within_steps_and_on_many_threads_are_each_recorded(lake):
    def train(number):
        with lake.execution("Train", inputs=["aviation/flights"], parameters={"n": number}) as run:
            for _ in range(3):
                run.output("Model", f"s3://models/{number}", name="shared")

    threads = [threading.Thread(target=train, args=(number,)) for number in range(4)]
    with lake.execution("Search") as outer:
        for thread in threads:
            thread.start()
        with lake.execution("Plan") as inner:
            inner.output("Model", "s3://inner", name="shared")
        for thread in threads:
            thread.join()
        outer.output("Model", "s3://outer", name="shared")
    assert sorted(model.name for model in models(lake)) == sorted(f"shared@{n}" for n in range(14))
    done = lake._site.ledger.get_executions(state=ExecutionState.COMPLETE)
    assert [e.type for e in done].count("Train") == 4


KILLED = """
import sys, time
from lakehouse import Lake
with Lake("configs").execution("Train", inputs=["aviation/flights"]) as run:
    print(run.id, flush=True)
    time.sleep(60)
"""


def test_a_killed_step_is_told_by_check_and_closed_by_the_next_one(flown, lake):
    process = flown.start("-c", KILLED)
    number = int(process.stdout.readline())
    with lake.execution("Other"):
        pass
    assert recorded(lake, number).state is ExecutionState.RUNNING
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert recorded(lake, number).state is ExecutionState.RUNNING
    [told] = [problem for problem in lake.check() if problem.where == f"execution:{number}"]
    assert told.harmless
    with lake.execution("Other"):
        pass
    closed = recorded(lake, number)
    assert (closed.state, closed.properties["error"]) == (ExecutionState.FAILED, "interrupted")
    assert not [problem for problem in lake.check() if problem.where == f"execution:{number}"]
    assert list((flown.folder / "data/.locks/execution").iterdir()) == []
