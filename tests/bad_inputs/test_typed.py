"""Files of typed and structured formats that were cut, flipped or made to harm."""

import io

import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from bad_inputs import bad, judge, judge_whole, take_in


def rows(first, count=2):
    """A table of rows, ids from the first."""
    return pa.table(
        {
            "id": pa.array(range(first, first + count), pa.int64()),
            "name": [f"n{i}" for i in range(count)],
            "amount": [float(i) for i in range(count)],
        }
    )


def written(write, first, count=2):
    """A table in the form that a function writes."""
    made = io.BytesIO()
    write(rows(first, count), made)
    return made.getvalue()


def parquet(first, count=2):
    return written(pq.write_table, first, count)


def arrow(first, count=2):
    return written(lambda table, file: pa.feather.write_feather(table, file, compression="uncompressed"), first, count)


def orc(first, count=2):
    return written(pa.orc.write_table, first, count)


def avro(first, count=2):
    made = io.BytesIO()
    pl.DataFrame(rows(first, count)).write_avro(made)
    return made.getvalue()


def excel(first, count=2):
    made = io.BytesIO()
    pl.DataFrame(rows(first, count)).write_excel(made)
    return made.getvalue()


def twice(name, other):
    """A Parquet file with two columns of one name, which pyarrow writes and few readers like."""
    table = rows(71).append_column(name, other)
    made = io.BytesIO()
    pq.write_table(table, made)
    return made.getvalue()


def billion_laughs():
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return f'<!DOCTYPE x [<!ENTITY l0 "ha">{entities}]><things><row><id>1</id><name>&l9;</name></row></things>'


def alias_bomb():
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10))
    return f"a0: &a0 [x]\n{levels}\nid: 1\nname: *a9\n"


XML = "<things>{}</things>"
ROW = "<row><id>{0}</id><name>one</name></row>"
FORMATS = {
    "parquet": (
        "parquet",
        (".parquet", parquet(901)),
        [
            bad("nothing.parquet", b"", refused="not Parquet"),
            bad("its-magic-alone.parquet", b"PAR1", refused="truncated|not Parquet"),
            bad("half.parquet", lambda: (data := parquet(1, 5000))[: len(data) // 2], refused="truncated Parquet"),
            bad("without-its-last-byte.parquet", lambda: parquet(2, 5000)[:-1], refused="truncated Parquet"),
            bad("an-odd-footer.parquet", lambda: parquet(3, 5000)[:-8] + b"\xff\xff\xff\x7fPAR1", refused="damaged"),
            bad("csv.parquet", "id,name,amount\n4,one,1\n", refused="not Parquet"),
            bad(
                "a-column-twice.parquet", lambda: twice("name", pa.array(["a", "b"])), refused="name|duplicate|damaged"
            ),
            bad("whole.parquet", lambda: parquet(5), good=[5, 6]),
        ],
    ),
    "arrow": (
        "arrow",
        (".arrow", arrow(901)),
        [
            bad("nothing.arrow", b"", refused="Arrow"),
            bad("half.arrow", lambda: (data := arrow(1, 5000))[: len(data) // 2], refused="Arrow"),
            bad("its-magic-alone.arrow", b"ARROW1\0\0", refused="Arrow"),
            bad("csv.arrow", "id,name,amount\n4,one,1\n", refused="Arrow"),
            bad("whole.arrow", lambda: arrow(5), good=[5, 6]),
        ],
    ),
    "orc": (
        "orc",
        (".orc", orc(901)),
        [
            bad("nothing.orc", b"", refused="ORC"),
            bad("half.orc", lambda: (data := orc(1, 5000))[: len(data) // 2], refused="ORC"),
            bad("csv.orc", "id,name,amount\n4,one,1\n", refused="ORC"),
            bad("whole.orc", lambda: orc(5), good=[5, 6]),
        ],
    ),
    "avro": (
        "avro",
        (".avro", avro(901)),
        [
            bad("nothing.avro", b"", refused="Avro"),
            bad("half.avro", lambda: (data := avro(1, 5000))[: len(data) // 2], refused="Avro"),
            bad("its-magic-alone.avro", b"Obj\x01", refused="Avro"),
            bad("csv.avro", "id,name,amount\n4,one,1\n", refused="Avro"),
            bad("whole.avro", lambda: avro(5), good=[5, 6]),
        ],
    ),
    "excel": (
        "excel",
        (".xlsx", excel(901)),
        [
            bad("nothing.xlsx", b"", refused="workbook|spreadsheet|Excel"),
            bad("half.xlsx", lambda: (data := excel(1, 500))[: len(data) // 2], refused="workbook|spreadsheet|Excel"),
            bad("csv.xlsx", "id,name,amount\n4,one,1\n", refused="workbook|spreadsheet|Excel"),
            bad("whole.xlsx", lambda: excel(5), good=[5, 6]),
        ],
    ),
    "xml": (
        "{type: xml, row: things/row}",
        (".xml", XML.format(ROW.format(901) + ROW.format(902)).encode()),
        [
            bad("nothing.xml", "", refused="XML|empty"),
            bad("cut.xml", XML.format(ROW.format(1) * 100)[:-200], refused="XML"),
            bad("an-open-element.xml", XML.format("<row><id>2</id>"), refused="XML"),
            bad("billion-laughs.xml", billion_laughs, refused="entit|DTD|DOCTYPE"),
            bad(
                "a-file-from-outside.xml",
                '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
                + XML.format("<row><id>3</id><name>&f;</name></row>"),
                refused="entit|DTD|DOCTYPE",
            ),
            bad("deep.xml", XML.format(f"<row><id>4</id>{'<a>' * 100_000}{'</a>' * 100_000}</row>"), refused="deep"),
            bad("json.xml", '{"id": 5}', refused="XML"),
            bad("whole.xml", XML.format(ROW.format(6)), good=[6]),
        ],
    ),
    "yaml": (
        "yaml",
        (".yaml", b"- {id: 901, name: good}\n- {id: 902, name: good}\n"),
        [
            bad("aliases.yaml", alias_bomb, refused="alias"),
            bad("cut.yaml", "- {id: 1, name: [a, b\n", refused="YAML"),
            bad("a-tag.yaml", "- {id: 2, name: !!python/object/apply:os.system [ls]}\n", refused="tag|YAML"),
            bad("tabs.yaml", "- id: 3\n\tname: x\n", refused="YAML"),
            bad("deep.yaml", "- " + "[" * 50_000 + "]" * 50_000 + "\n", refused="deep|YAML"),
            bad("whole.yaml", "- {id: 4, name: one}\n", good=[4]),
        ],
    ),
    "toml": (
        "{type: toml, records: row}",
        (".toml", b'[[row]]\nid = 901\nname = "good"\n[[row]]\nid = 902\n'),
        [
            bad("cut.toml", '[[row]]\nid = 1\nname = "on', refused="TOML"),
            bad("a-key-twice.toml", "[[row]]\nid = 2\nid = 3\n", refused="TOML"),
            bad("no-records.toml", "[other]\nid = 4\n", refused="row"),
            bad("whole.toml", "[[row]]\nid = 5\n", good=[5]),
        ],
    ),
}
CASES = [
    pytest.param(name, *case.values, id=f"{name}: {case.id}")
    for name, (_, _, cases) in FORMATS.items()
    for case in cases
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    made = {}

    def of(name):
        if name not in made:
            made[name] = take_in(tmp_path_factory.mktemp(name), *FORMATS[name])
        return made[name]

    return of


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_broken_file_is_refused_by_name_and_a_whole_one_is_read(outcomes, name, case):
    judge(outcomes(name), case)


@pytest.mark.parametrize("name", FORMATS)
def test_among_broken_files_nothing_is_lost_and_the_good_one_comes_through(outcomes, name):
    judge_whole(outcomes(name), FORMATS[name][1][0])
