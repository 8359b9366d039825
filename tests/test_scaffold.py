"""`init`: the starting set, and a configuration for files that lie about as users' files do."""

import gzip
import json
from datetime import UTC, date, datetime

import polars as pl
import pytest

from lakehouse import Lake
from lakehouse.config import load
from lakehouse.errors import ConfigError


class Shop:
    """A folder of files, and the lake that is made for it."""

    def __init__(self, folder):
        self.folder = folder
        self.files = folder / "shop"
        self.files.mkdir()
        self.project = folder / "project"

    def put(self, name, content):
        """Write one file."""
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def init(self, from_=None):
        """Make the lake."""
        return Lake.init(self.project, from_=from_ or self.files)

    def config(self):
        """What was written, as it is read."""
        return load(self.project / "configs", environ={})

    def yaml(self, name):
        """The text of one file that was written."""
        return (self.project / "configs" / f"{name}.yaml").read_text("utf-8")

    def run(self):
        """Run the job; what it did."""
        with Lake(self.project / "configs") as lake:
            return lake.run("nightly")

    def read(self, dataset):
        """The rows, in the order of their files."""
        with Lake(self.project / "configs") as lake:
            return lake.read(dataset).sort("_raw", "_row")

    def feature(self, dataset, name):
        """One feature that was written."""
        return self.config().dataset(dataset).schema.features[name]

    def typed(self, *cells):
        """The type a column of these cells gets, what stands beside it in YAML, and its values after a run."""
        self.put("table.csv", "n,x\n" + "".join(f'{n},"{cell}"\n' for n, cell in enumerate(cells)))
        self.init()
        ran = self.run()
        assert ran.ok
        assert ran.curated[0].rejected == 0
        line = next(line for line in self.yaml("datasets/shop/table").splitlines() if line.strip().startswith("x:"))
        return str(self.feature("shop/table", "x").type), line, self.read("shop/table")["x"].to_list()


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def test_the_starting_set_runs_at_once_and_shows_its_quarantine(tmp_path):
    made = Lake.init(tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in made.written} == {
        "configs/lakehouse.yaml",
        "configs/sources/readings.yaml",
        "configs/datasets/sensors/readings.yaml",
        "configs/jobs/nightly.yaml",
        "jobs/sensors/readings.py",
        "data/samples/readings.csv",
        ".gitignore",
    }
    with Lake(tmp_path / "configs") as lake:
        ran = lake.run("nightly")
        assert ran.ok
        assert (ran.curated[0].curated, ran.curated[0].rejected) == (7, 1)
        read = lake.read("sensors/readings").sort("_row")
    assert read["fahrenheit"].to_list()[:3] == pytest.approx([25.7, 26.42, None])


def test_init_a_second_time_is_refused_and_lists_what_is_there(tmp_path):
    made = Lake.init(tmp_path)
    before = {path: path.read_bytes() for path in made.written}
    with pytest.raises(ConfigError, match="overwrites nothing") as told:
        Lake.init(tmp_path)
    assert "configs/lakehouse.yaml" in str(told.value)
    assert "jobs/sensors/readings.py" in str(told.value)
    assert {path: path.read_bytes() for path in made.written} == before


def test_one_file_in_the_way_keeps_all_others_from_being_written(tmp_path):
    (tmp_path / "jobs" / "sensors").mkdir(parents=True)
    (tmp_path / "jobs" / "sensors" / "readings.py").write_text("mine")
    with pytest.raises(ConfigError, match=r"jobs/sensors/readings\.py"):
        Lake.init(tmp_path)
    assert not (tmp_path / "configs").exists()


def test_an_own_gitignore_is_kept_and_what_it_lacks_is_told(tmp_path):
    (tmp_path / ".gitignore").write_text("mine\n")
    made = Lake.init(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "mine\n"
    assert [note.message for note in made.skipped] == ["it is there already; add /data/* to it"]


def test_init_from_a_second_time_is_refused(shop):
    shop.put("a.csv", "id,v\n1,2\n")
    shop.init()
    before = shop.yaml("datasets/shop/a")
    with pytest.raises(ConfigError, match="overwrites nothing"):
        shop.init()
    assert shop.yaml("datasets/shop/a") == before


def test_a_folder_with_nothing_readable_says_what_was_looked_for_and_writes_nothing(shop):
    shop.put("README.txt", "hello")
    shop.put("bin.csv", bytes(range(256)) * 4)
    with pytest.raises(ConfigError, match=r"looked for files ending in \.csv") as told:
        shop.init()
    assert "README.txt: the ending '.txt' is not known" in str(told.value)
    assert "bin.csv: it holds binary data" in str(told.value)
    assert not shop.project.exists()


def test_a_path_that_is_not_there_is_named(shop):
    with pytest.raises(ConfigError, match=r"there is no file or folder '.*/nowhere'"):
        shop.init(shop.files / "nowhere")


def test_one_file_is_enough_and_its_ending_does_not_matter(shop):
    shop.put("other.csv", "a\n1\n")
    made = shop.init(shop.put("export.dat", "id|amount\n1|2.5\n2|3.5\n"))
    assert made.datasets == ("shop/export_dat",)
    assert shop.run().ok
    assert shop.read("shop/export_dat")["amount"].to_list() == [2.5, 3.5]


def test_a_messy_folder_becomes_tables_without_one_rejected_row(shop):
    shop.put("README.txt", "hello")
    shop.put(
        "kunder.csv",
        "Kunde Nr;Navn;Postnr;Født;Saldo (kr)\n1;Åse;0150;31.12.1980;1.5\n2;Bjørn;5003;01.02.1990;NA\n".encode(
            "latin-1"
        ),
    )
    shop.put("orders.tsv", 'id\tnote\n1\t"two\nlines, and ""quotes"""\n2\tplain\n')
    shop.put("inch.tsv", 'name\tsize\n5" pipe\t5\npipe 3"\t3\n"odd\t4\n')
    for day in (1, 2):
        lines = (json.dumps({"id": n, "at": f"2020-01-0{day}T00:00:{n:02}Z", "v": n or None}) for n in range(3))
        shop.put(f"events_2020-01-0{day}.ndjson.gz", gzip.compress("\n".join(lines).encode()))
    shop.put("answer.json", json.dumps({"count": 1, "items": [{"a": 1, "b": True}]}))
    pl.DataFrame({"a": [1, None], "d": [date(2020, 1, 1)] * 2}).write_parquet(shop.files / "p.parquet")
    shop.put("utf16.csv", "navn,n\nØdegård,2\n".encode("utf-16"))
    shop.put("bom.csv", "\ufeffid,when\n1,2020-01-01 10:00\n".encode())
    shop.put("titled.csv", "Report 2020\n\nname,n\nx,1\n")
    shop.put("plain.csv", "1,2.5,x\n2,3.5,y\n")
    made = shop.init()
    assert [(note.where.rpartition("/")[2], note.kind) for note in made.skipped] == [("README.txt", "skipped")]
    ran = shop.run()
    assert ran.ok
    assert all(one.rejected == 0 for one in ran.curated)
    assert sorted((one.dataset, one.files, one.curated) for one in ran.curated) == [
        ("shop/answer", 1, 1), ("shop/bom", 1, 1), ("shop/events", 2, 6), ("shop/inch", 1, 3), ("shop/kunder", 1, 2),
        ("shop/orders", 1, 2), ("shop/p", 1, 2), ("shop/plain", 1, 2), ("shop/titled", 1, 1), ("shop/utf16", 1, 1),
    ]  # fmt: skip
    kunder = shop.read("shop/kunder").drop(pl.selectors.starts_with("_"))
    assert kunder.rows() == [(1, "Åse", "0150", date(1980, 12, 31), 1.5), (2, "Bjørn", "5003", date(1990, 2, 1), None)]
    assert kunder.columns == ["kunde_nr", "Navn", "Postnr", "Født", "saldo_kr"]
    assert shop.read("shop/orders")["note"].to_list() == ['two\nlines, and "quotes"', "plain"]
    assert shop.read("shop/inch")["name"].to_list() == ['5" pipe', 'pipe 3"', '"odd']
    assert shop.read("shop/bom")["when"].to_list() == [datetime(2020, 1, 1, 10, tzinfo=UTC)]


def test_a_dataset_takes_under_fifteen_lines_of_yaml_beside_its_features(shop):
    shop.put("sales_1.csv", "id,Amount (NOK),at,tz\n1,2.5,2020-01-01T00:00:00Z,NA\n2,NA,2020-01-02T00:00:00Z,x\n")
    shop.put("sales_2.csv", "id,Amount (NOK),at,tz\n3,2.5,2020-01-01T00:00:00Z,y\n")
    shop.init()
    dataset, _, features = shop.yaml("datasets/shop/sales").partition("  features:\n")
    assert len(dataset.splitlines()) + len(shop.yaml("sources/sales").splitlines()) < 15
    assert features.splitlines() == [
        "    id: {type: int}",
        "    amount_nok: {type: float, presence: optional}",
        "    at: {type: datetime}",
        "    tz: {type: string, presence: optional}",
    ]
    assert shop.config().dataset("shop/sales").keys == ("id",)
    assert shop.config().dataset("shop/sales").event_time == "at"


@pytest.mark.parametrize(
    ("cells", "type_", "values"),
    [
        (["1", "-2", "0"], "int", [1, -2, 0]),
        (["1", "NA", "-"], "int", [1, None, None]),
        (["1.5", "2", ""], "float", [1.5, 2.0, None]),
        (["007", "010"], "string", ["007", "010"]),
        (["123456789012345678901", "5"], "string", ["123456789012345678901", "5"]),
        (["+4712345678", "+4787654321"], "string", ["+4712345678", "+4787654321"]),
        (["1e5", "12"], "string", ["1e5", "12"]),
        (["1,5", "2,25"], "string", ["1,5", "2,25"]),
        (["Y", "N", "NA"], "bool", [True, False, None]),
        (["True", "False"], "bool", [True, False]),
        (["0", "1"], "int", [0, 1]),
        (["2020-01-31", "2020-02-01"], "date", [date(2020, 1, 31), date(2020, 2, 1)]),
        (["31.1.2020", "1.2.2020"], "date", [date(2020, 1, 31), date(2020, 2, 1)]),
        (["31/01/2020", "01/02/2020"], "date", [date(2020, 1, 31), date(2020, 2, 1)]),
        (["01/31/2020", "02/01/2020"], "date", [date(2020, 1, 31), date(2020, 2, 1)]),
        (["2020-01-31", "x"], "string", ["2020-01-31", "x"]),
        (["2020-01-31T10:00:00+01:00"], "datetime", [datetime(2020, 1, 31, 9, tzinfo=UTC)]),
        (["31.01.2020 10:05"], "datetime", [datetime(2020, 1, 31, 10, 5, tzinfo=UTC)]),
        (["NA", "x"], "string", ["NA", "x"]),
        (["-80.61958329999999", "41.1"], "float", [-80.61958329999999, 41.1]),
    ],
)
def test_a_column_gets_the_type_that_keeps_all_it_says(shop, cells, type_, values):
    assert shop.typed(*cells)[::2] == (type_, values)


def test_more_digits_than_a_float_keeps_become_a_decimal(shop):
    type_, _, values = shop.typed("12345678901234567.89", "1.00")
    assert type_ == "decimal"
    assert list(map(str, values)) == ["12345678901234567.89", "1.00"]


def test_a_date_that_could_be_two_stays_text_and_says_why(shop):
    type_, line, values = shop.typed("01/02/2020", "03/04/2020")
    assert (type_, values) == ("string", ["01/02/2020", "03/04/2020"])
    assert "could be %d/%m/%Y or %m/%d/%Y" in line


def test_a_time_without_a_zone_is_taken_as_utc_and_says_so(shop):
    type_, line, _ = shop.typed("2020-01-31 10:00:00")
    assert type_ == "datetime"
    assert "timezone: UTC" in line
    assert "correct 'timezone' if it is not UTC" in line


def test_a_small_closed_set_is_a_suggestion_and_no_rule(shop):
    _, line, _ = shop.typed(*(["NO", "SE", "on"] * 20))
    assert 'perhaps domain: ["NO", SE, "on"]' in line
    assert shop.feature("shop/table", "x").domain is None


def test_na_among_country_codes_is_namibia(shop):
    shop.put("c.csv", "country,n\nNA,1\nNO,NA\nSE,3\n")
    shop.init()
    assert shop.run().curated[0].rejected == 0
    assert shop.read("shop/c").select("country", "n").rows() == [("NA", 1), ("NO", None), ("SE", 3)]


def test_names_the_lake_cannot_store_are_renamed_apart(shop):
    shop.put("c.csv", "n,a b,A B,_x,x,y(z),X\n1,2,3,4,5,6,7\n")
    shop.init()
    assert shop.run().ok
    assert shop.read("shop/c").drop(pl.selectors.starts_with("_")).row(0, named=True) == {
        "n": 1, "a_b": 2, "a_b_2": 3, "x_2": 4, "x": 5, "y_z": 6, "X_3": 7,
    }  # fmt: skip


def test_a_header_with_gaps_and_twins_is_given_names(shop):
    shop.put("c.csv", "a,a,,b\n1,2,3,4\n")
    shop.init()
    assert shop.run().ok
    assert shop.read("shop/c").select("a", "a_2", "column_3", "b").row(0) == (1, 2, 3, 4)


def test_years_as_column_names_are_a_header(shop):
    shop.put("c.csv", "country,2019,2020\nNO,1,2\n")
    shop.init()
    assert list(shop.config().dataset("shop/c").schema.features) == ["country", "2019", "2020"]


def test_files_of_one_pattern_and_header_are_one_source_and_tomorrows_file_belongs_to_it(shop):
    for day in (1, 2):
        shop.put(f"flights_2013-01-0{day}.csv", f"k,v\na,{day}\n")
    shop.put("flights_2012-12-31.csv", "other,v\na,1\n")
    shop.put("airlines.csv", "k,v\na,1\n")
    made = shop.init()
    assert set(made.datasets) == {"shop/flights", "shop/flights_2012_12_31", "shop/airlines"}
    shop.put("flights_2013-01-03.csv", "k,v\nc,3\n")
    ran = shop.run()
    assert ran.ok
    assert {one.dataset: one.files for one in ran.curated} == {
        "shop/flights": 3, "shop/flights_2012_12_31": 1, "shop/airlines": 1,
    }  # fmt: skip


def test_folders_give_the_subjects_and_numbered_folders_are_one_source(shop):
    for year in (2020, 2021):
        shop.put(f"sales/{year}/orders.csv", f"id,v\n1,{year}\n")
    shop.put("stock/items.csv", "id,v\n1,2\n")
    assert set(shop.init().datasets) == {"sales/orders", "stock/items"}
    assert {one.dataset: one.curated for one in shop.run().curated} == {"sales/orders": 2, "stock/items": 1}


def test_two_files_of_one_name_get_sources_of_their_own(shop):
    shop.put("a/items.csv", "id,v\n1,2\n")
    shop.put("b/items.csv", "id,v\n1,2\n")
    assert set(shop.init().datasets) == {"a/items", "b/items"}
    assert len(shop.config().sources) == 2
    assert shop.run().ok


def test_names_that_are_globs_or_secrets_elsewhere_are_only_names_here(shop):
    shop.put("[1] a*.csv", "a\n1\n")
    shop.put("${HOME}.csv", "x,y\n1,2\n")
    shop.put("q[x]_1.csv", "k,v\na,1\n")
    shop.put("q[x]_2.csv", "k,v\na,2\n")
    shop.init()
    ran = shop.run()
    assert ran.ok
    assert sum(one.curated for one in ran.curated) == 4


def test_files_inside_the_project_are_named_relative_to_it(shop):
    shop.project = shop.files
    shop.put("in/a.csv", "id,v\n1,2\n")
    shop.init()
    assert "path: in/a.csv" in shop.yaml("sources/a")
    assert shop.run().ok


def test_a_users_own_data_raw_does_not_become_the_raw_zone(shop):
    shop.project = shop.files
    shop.put("data/raw/a.csv", "id,v\n1,2\n")
    shop.init()
    assert shop.config().root.name == "lake"
    assert shop.run().curated[0].curated == 1
    assert [path.name for path in (shop.files / "data" / "raw").iterdir()] == ["a.csv"]


def test_a_file_that_cannot_be_read_is_left_out_of_its_source(shop):
    shop.put("day_1.csv.gz", gzip.compress(b"a,b\n1,2\n"))
    shop.put("day_2.csv.gz", gzip.compress(b"a,b\n1,2\n" * 9999)[:-10])
    shop.put("day_3.csv.gz", gzip.compress(b"a,b\n3,4\n"))
    made = shop.init()
    assert ["Truncated" in note.message for note in made.skipped] == [True]
    ran = shop.run()
    assert ran.ok
    assert ran.curated[0].files == 2


def test_broken_rows_are_told_and_go_to_quarantine(shop):
    shop.put("c.csv", "a,b\n1,2\n3\n4,5\n")
    made = shop.init()
    assert [(note.kind, note.where) for note in made.skipped] == [("rejected", "shop/c")]
    assert shop.run().curated[0].rejected == 1


def test_one_text_in_latin_1_sets_the_encoding_of_plain_ones_beside_it(shop):
    shop.put("n_1.csv", "name,v\nplain,1\n")
    shop.put("n_2.csv", "name,v\nÅse,1\n".encode("latin-1"))
    shop.put("n_3.csv", "name,v\n“Bo”,1\n".encode("cp1252"))
    shop.init()
    assert shop.run().ok
    names = [name for dataset in shop.config().datasets for name in shop.read(dataset)["name"]]
    assert sorted(names) == ["plain", "Åse", "“Bo”"]


def test_a_parquet_file_of_lists_is_left_out_with_its_reason(shop):
    shop.put("a.csv", "id,v\n1,2\n")
    pl.DataFrame({"tags": [[1]]}).write_parquet(shop.files / "l.parquet")
    made = shop.init()
    assert made.datasets == ("shop/a",)
    assert "'tags' holds lists" in made.skipped[0].message


def test_the_users_files_are_not_changed(shop):
    paths = [shop.put("a.csv", "id,v\n1,2\n"), shop.put("b.json", '[{"a": 1}]')]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]
    shop.init()
    shop.run()
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths] == before


def test_a_line_separator_inside_a_json_string_ends_no_line(shop):
    shop.put("a.ndjson", '{"id": 1, "x": "a\u2028b\u0085"}\n{"id": 2, "x": "c"}\n')
    shop.init()
    assert shop.run().ok
    assert shop.read("shop/a")["x"].to_list() == ["a\u2028b\u0085", "c"]
