"""How a dataset's table is laid out: partitions, and personal data kept out of its statistics."""

import json

import polars as pl
import pytest
from deltalake import DeltaTable


def notes_of_orders(project, partition_by):
    """A dataset of notes by country, partitioned."""
    project.configure(
        "datasets/shop/orders",
        f"""
        source: orders
        partition_by: [{partition_by}]
        schema:
          features:
            country: {{type: string, presence: optional}}
            day: {{type: date}}
            amount: {{type: int}}
            buyer: {{type: string, personal: true}}
            born: {{type: date, personal: true}}
        """,
    )
    project.configure("sources/orders", "type: files\npath: orders/*.csv\nformat: csv")
    project.configure("jobs/nightly", "datasets: [shop/orders]")
    (project.folder / "orders").mkdir()


ROWS = [("NO", 1), ("a b/c=%20ø", 2), ("", 3), ("what*ever", 4), ("SE", 5)]


def deliver_orders(project):
    lines = [f'"{country}",2026-01-0{n},{n},Åse {n},1970-0{n}-01' for country, n in ROWS]
    lines.append(",2026-01-06,6,Bo,1980-01-01")
    (project.folder / "orders/o.csv").write_text("country,day,amount,buyer,born\n" + "\n".join(lines) + "\n")


def test_a_partitioned_dataset_reads_back_every_value_it_took(project):
    notes_of_orders(project, "country")
    deliver_orders(project)
    assert project.run().ok
    with project.lake() as lake:
        read = lake.read("shop/orders").sort("amount")
        assert read.select("country", "amount").rows() == [("NO", 1), ("a b/c=%20ø", 2), ("SE", 5), (None, 6)]
        assert read.schema["country"] == pl.String
        assert lake.scan("shop/orders").filter(country="SE").collect()["amount"].to_list() == [5]
        rejected = lake.quarantine("shop/orders").sort("_row").collect()
    assert rejected["_row"].to_list() == [3, 4]
    assert set(rejected["reasons"].explode()) == {"country: empty or with '*', so nothing to partition by"}
    assert DeltaTable(str(project.folder / "data/curated/shop/orders")).metadata().partition_columns == ["country"]


def test_a_date_can_be_partitioned_by(project):
    notes_of_orders(project, "day")
    deliver_orders(project)
    assert project.run().ok
    with project.lake() as lake:
        assert lake.scan("shop/orders").filter(pl.col("day") == pl.date(2026, 1, 5)).collect()["amount"].to_list() == [
            5
        ]
        assert lake.read("shop/orders").schema["day"] == pl.Date


def test_a_changed_partitioning_asks_for_again_and_keeps_the_past(project):
    notes_of_orders(project, "country")
    deliver_orders(project)
    project.run()
    project.change("datasets/shop/orders", "partition_by: [country]", "partition_by: [day]")
    (project.folder / "orders/p.csv").write_text("country,day,amount,buyer,born\nDK,2026-02-01,7,Eva,1970-01-01\n")
    ran = project.run()
    assert not ran.ok
    assert "partition_by from ['country'] to ['day']" in ran.errors[0]
    assert "lakehouse curate shop/orders --again" in ran.errors[0]
    with project.lake() as lake:
        made = lake.curate("shop/orders", again=True)
        assert (made.curated, lake.read("shop/orders").height) == (7, 7)
        assert lake.read("shop/orders", version=0).height == 4
        assert not [problem for problem in lake.check() if not problem.harmless]


@pytest.mark.parametrize("zone", ["curated", "quarantine"])
def test_no_personal_value_stands_in_a_tables_log(project, zone):
    notes_of_orders(project, "country")
    deliver_orders(project)
    project.run()
    logs = sorted((project.folder / "data" / zone / "shop/orders/_delta_log").glob("*.json"))
    text = "".join(path.read_text("utf-8") for path in logs)
    assert text
    assert "Åse" not in text
    assert "se 1" not in text
    assert "1970-0" not in text
    added = [json.loads(line)["add"] for line in text.splitlines() if '"add"' in line]
    if zone == "curated":
        assert all("amount" in json.loads(action["stats"])["minValues"] for action in added)


def test_one_batch_is_one_commit_and_the_limit_in_bytes_cuts_batches(project):
    project.deliver("1.csv", project.morning)
    project.deliver("2.csv", project.noon)
    project.run()
    project.change("lakehouse", "root: data", "root: data\nbatch_bytes: 100")
    with project.lake() as lake:
        assert [(v.version, v.files, v.rows, v.total) for v in lake.history(project.flights)] == [(0, 2, 4, 4)]
        before = lake.read(project.flights, version=0).sort("time_hour")
        assert lake.curate(project.flights, again=True).curated == 4
        made = lake.history(project.flights)[1:]
        assert [(v.version, v.files, v.rows, v.total) for v in made] == [(1, 1, 2, 4), (2, 1, 2, 4)]
        assert lake.read(project.flights).height == 4
        assert lake.read(project.flights, version=0).sort("time_hour").equals(before)
