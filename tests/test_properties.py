"""What must hold for any files in any order, found out with generated ones and an independent, slow reckoning."""

# ruff: noqa: D102  # a rule's name is its sentence

import csv
import dataclasses
import gzip
import itertools
import re
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from lakehouse.errors import NotFoundError, SchemaError

QUICK = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=30)

NUMBERS = """
    source: numbers
    schema:
      features:
        id: {type: int}
        name: {type: string, domain: {length: {max: 6}}}
        size: {type: float, presence: optional, domain: {min: 0}}
"""


def numbers(project):
    project.configure(
        "sources/numbers", "type: files\npath: incoming/*\nformat: {type: csv, null_values: [NA], delimiter: ';'}"
    )
    project.configure("datasets/any/numbers", NUMBERS)
    return project


# --- Any file: every record is somewhere, once, as itself -------------------------------------------------------------

texts = st.text(alphabet='ab;"\n ø雪,', min_size=1, max_size=8)
ids = st.one_of(
    st.integers(-(2**63) - 1, 2**63).map(str),
    st.sampled_from(["NA", "1.0", "1.5", "one", "1e3", " 7", "007", "-0", "1.0.0", "0x1f", "٣"]),
)
sizes = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr), st.sampled_from(["NA", "", "1,5", "big", "1e999", "-1"])
)


def quoted(value):
    return '"' + value.replace('"', '""') + '"' if set(value) & set(';"\n') else value


@dataclasses.dataclass(frozen=True)
class Record:
    """A record as it stands in a file, and the row it must become (None: it must be rejected)."""

    text: bytes
    row: tuple | None


def reckon(fields):
    """The row, by the slow rules of this test; None where it breaks one."""
    number, name, size = fields
    if not re.fullmatch(r"[+-]?[0-9]+", digits := number.removesuffix(".0"), re.ASCII):
        return None
    if not -(2**63) <= int(digits) < 2**63 or name == "NA" or len(name) > 6:
        return None
    if size in {"NA", ""}:
        return int(digits), name, None
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?", size) or float(size) == float("inf") or float(size) < 0:
        return None
    return int(digits), name, float(size)


@st.composite
def records(draw):
    fields = [draw(ids), draw(texts), draw(sizes)]
    text = ";".join(map(quoted, fields))
    [read] = csv.reader([*text.splitlines(keepends=True)] if "\n" in text else [text], delimiter=";")
    assert read == fields, "the reckoning reads what was written, by a reader of its own"
    match draw(st.sampled_from(["whole"] * 6 + ["long", "short", "undecodable"])):
        case "long":
            return Record(f"{text};more".encode(), None)
        case "short":
            return Record(f"{quoted(fields[0])};{quoted(fields[1])}".encode(), None)
        case "undecodable":
            return Record(text.encode() + b"\xff", None)
    return Record(text.encode(), reckon(fields))


@st.composite
def files(draw):
    content = draw(st.lists(records(), max_size=12))
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    last = end if draw(st.booleans()) else b""
    data = b"id;name;size" + end + end.join(record.text for record in content) + (last if content else b"")
    return content, gzip.compress(data, mtime=0) if draw(st.booleans()) else data


@QUICK
@given(st.lists(files(), min_size=1, max_size=3, unique_by=lambda file: file[1]))
def test_every_record_of_any_file_is_curated_or_quarantined_once_and_traces_to_its_own_text(new_project, given_files):
    with tempfile.TemporaryDirectory() as folder:
        project = numbers(new_project(Path(folder) / "project"))
        for number, (_, data) in enumerate(given_files):
            project.deliver(f"file {number}.csv", data)
        with project.lake() as lake:
            lake.land("numbers")
            done = lake.curate("any/numbers")
            rows = lake.read("any/numbers").to_dicts() if done.version is not None else []
            rejected = lake.quarantine("any/numbers").collect().to_dicts()

            expected = list(itertools.chain.from_iterable(content for content, _ in given_files))
            assert (done.refused, done.read) == (0, len(expected))
            assert done.read == done.curated + done.rejected == len(rows) + len(rejected)

            found = {}
            for row in (*rows, *rejected):
                trace = lake.trace("any/numbers", row)
                place = (int(trace.origins[0].removesuffix(".csv").rpartition(" ")[2]), row["_row"])
                found[place] = (trace.text, (row["id"], row["name"], row["size"]) if "id" in row else None)
        assert found == {
            (number, place): (record.text.decode("utf-8", "backslashreplace"), record.row)
            for number, (content, _) in enumerate(given_files)
            for place, record in enumerate(content, start=1)
        }


# --- Landing twice is landing once ------------------------------------------------------------------------------------


def snapshot(project):
    """The raw zone byte for byte, and every row of the ledger."""
    data = project.folder / "data"
    raw = {path.relative_to(data): path.read_bytes() for path in (data / "raw").rglob("*") if path.is_file()}
    with sqlite3.connect(data / "metadata.db") as ledger:
        names = [name for (name,) in ledger.execute("select name from sqlite_master where type = 'table'")]
        rows = {name: sorted(map(repr, ledger.execute(f"select * from {name}"))) for name in names}
    ledger.close()
    return raw, rows


@settings(QUICK, max_examples=12)
@given(st.dictionaries(st.text("ab .é'\\\n", min_size=1, max_size=6), st.binary(max_size=40), min_size=1, max_size=5))
def test_landing_any_files_twice_is_landing_them_once(new_project, given_files):
    with tempfile.TemporaryDirectory() as folder:
        project = numbers(new_project(Path(folder) / "project"))
        for name, data in given_files.items():
            project.deliver(f"_{name}", data)
        with project.lake() as lake:
            first = lake.land("numbers")
            before = snapshot(project)
            second = lake.land("numbers")

        assert first.new == len(set(given_files.values()))
        assert (second.execution, second.new, second.unchanged) == (0, 0, len(given_files))
        assert snapshot(project) == before
        assert sorted(data for path, data in before[0].items() if path.name != "manifest.json") == sorted(
            set(given_files.values())
        )


# --- An answer about the past never changes ---------------------------------------------------------------------------

NAMES = ["a.csv", "b.csv"]
DAMAGED = "damaged"
CONTENTS = [DAMAGED, (), ("1", "x"), ("2",), ("3.5", "4")]


class PastMachine(RuleBasedStateMachine):
    """A lake beside a model of it that is a few plain dicts.

    The model keeps, for each content, the rows that count now; and every answer ever given.
    """

    def __init__(self, new_project):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.project = numbers(new_project(Path(self.folder.name) / "project"))
        self.type = "int"
        self.waiting = {}  # what lies in the folder
        self.landed = {name: [] for name in NAMES}  # every content a name had, as landings saw it
        self.rows = {}  # content to the rows it shows now
        self.table = None  # the type of the newest table
        self.refused = set()  # contents, each with the type it was refused under
        self.answers = []  # (version, moment, rows)

    def teardown(self):
        try:
            self.every_answer_holds()
        finally:
            self.folder.cleanup()

    @initialize(type=st.sampled_from(["int", "float"]))
    def some_type(self, type):  # noqa: A002
        self.type = type
        self.write_schema()

    def write_schema(self):
        schema = f"source: numbers\nschema: {{features: {{n: {{type: {self.type}}}}}}}"
        self.project.configure("datasets/any/numbers", schema)

    @rule(name=st.sampled_from(NAMES), content=st.sampled_from(CONTENTS))
    def a_file_arrives(self, name, content):
        self.waiting[name] = content
        self.project.deliver(name, "m\n1\n" if content == DAMAGED else "\n".join(["n", *content]) + "\n")

    @rule()
    def the_type_changes(self):
        self.type = "float" if self.type == "int" else "int"
        self.write_schema()

    @rule(name=st.sampled_from(NAMES), content=st.sampled_from(CONTENTS))
    def a_file_is_taken_in(self, name, content):
        self.a_file_arrives(name, content)
        self.files_are_landed()
        self.files_are_curated(again=False)

    @rule()
    def the_type_changes_and_all_is_curated_again(self):
        self.the_type_changes()
        self.files_are_curated(again=True)

    @rule()
    def files_are_landed(self):
        with self.project.lake() as lake:
            lake.land("numbers")
        for name, content in self.waiting.items():
            if self.landed[name][-1:] != [content]:
                self.landed[name].append(content)

    @rule(again=st.booleans())
    def files_are_curated(self, again):
        live = {contents[-1] for contents in self.landed.values() if contents}
        wanted = {c for c in live if again or (c not in self.rows and (c, self.type) not in self.refused)}
        read = wanted - {DAMAGED}
        replaced = {old for contents in self.landed.values() if contents and contents[-1] in {*read, *self.rows}
                    for old in contents[:-1] if old in self.rows and old not in live}  # fmt: skip
        anew = self.table not in {None, self.type}
        if anew and not again and (wanted or replaced):
            with pytest.raises(SchemaError, match="no longer fits its table"), self.project.lake() as lake:
                lake.curate("any/numbers")
            return
        with self.project.lake() as lake:
            done = lake.curate("any/numbers", again=again)
        self.refused |= {(c, self.type) for c in wanted - read}
        if anew and wanted:
            self.rows = {}
        self.rows = {c: rows for c, rows in self.rows.items() if c not in replaced}
        self.rows |= {c: self.reckon(c) for c in read}
        if done.version is not None:
            self.table = self.type
            with self.project.lake() as lake:
                committed = lake.history("any/numbers")[-1].committed_at
            self.answers.append((done.version, committed, self.visible()))

    def reckon(self, content):
        pattern = r"\d+" if self.type == "int" else r"[\d.]+"
        return [float(text) for text in content if re.fullmatch(pattern, text)]

    def visible(self):
        return self.type, sorted(itertools.chain.from_iterable(self.rows.values()))

    def seen(self, **when):
        with self.project.lake() as lake:
            column = lake.read("any/numbers", **when)["n"]
        return {"Int64": "int", "Float64": "float"}[str(column.dtype)], sorted(map(float, column))

    @invariant()
    def the_newest_answer_is_what_the_model_says(self):
        if self.table is None:
            with pytest.raises(NotFoundError):
                self.seen()
        else:
            assert self.seen() == (self.table, self.visible()[1])

    def every_answer_holds(self):
        with self.project.lake() as lake:
            history = {version.version: version.total for version in lake.history("any/numbers")}
        for version, moment, rows in self.answers:
            assert self.seen(version=version) == rows
            assert self.seen(as_of=moment) == rows
            assert history[version] == len(rows[1])


def test_an_answer_about_the_past_never_changes_whatever_happens_next(new_project):
    run_state_machine_as_test(
        lambda: PastMachine(new_project), settings=settings(QUICK, max_examples=30, stateful_step_count=8)
    )
