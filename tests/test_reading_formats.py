"""One source that feeds several datasets: what a dataset says of its files' format over what their source says."""

import json

import pytest

from lakehouse.errors import ConfigError

ANSWER = {
    "users": [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}],
    "orders": [{"id": 7, "user": 1}, {"id": 8, "user": 2}, {"id": "nine", "user": 2}],
}
DATASET = """
    source: shop
    format: {{records: {records}}}
    schema: {{features: {{id: {{type: int}}, {other}}}}}
"""


@pytest.fixture
def shop(project):
    """One file with two tables, and a dataset of each."""
    project.configure("sources/shop", "type: files\npath: incoming/*.json\nformat: json")
    project.configure("datasets/shop/users", DATASET.format(records="users", other="name: {type: string}"))
    project.configure("datasets/shop/orders", DATASET.format(records="orders", other="user: {type: int}"))
    project.configure("jobs/nightly", "datasets: [shop/users, shop/orders]")
    project.deliver("shop.json", json.dumps(ANSWER))
    return project


def test_one_raw_file_feeds_two_datasets_each_with_rows_rejects_and_traces_of_its_own(shop):
    shop.run()
    with shop.lake() as lake:
        users, orders = lake.read("shop/users").sort("id"), lake.read("shop/orders").sort("id")
        assert users["name"].to_list() == ["Ada", "Grace"]
        assert orders["user"].to_list() == [1, 2]
        assert lake.quarantine("shop/orders").collect()["_row"].to_list() == [3]
        assert users["_raw"].unique().to_list() == orders["_raw"].unique().to_list()
        assert "Grace" in lake.trace("shop/users", users.row(1, named=True)).text
        assert '"user": 2' in lake.trace("shop/orders", orders.row(1, named=True)).text
        assert lake.show("shop/users").settings["format"] == {"records": "users"}


def test_each_dataset_is_made_again_as_it_was_read_then(shop):
    shop.run()
    shop.change("datasets/shop/orders", "{records: orders}", "{records: users}")
    with shop.lake() as lake:
        order = lake.read("shop/orders").sort("id").row(0, named=True)
        assert '"id": 7' in lake.trace("shop/orders", order).text  # as the curation read it, not as it would now
        for name in ("shop/users", "shop/orders"):
            assert lake.rebuild(name).same


def test_another_format_reads_the_same_raw_files_again_for_that_dataset_alone(shop):
    shop.run()
    shop.change("datasets/shop/orders", "{records: orders}", "{records: users}")
    shop.change("datasets/shop/orders", "user: {type: int}", "name: {type: string}")
    with shop.lake() as lake:
        lake.curate("shop/orders", again=True)
        lake.curate("shop/users")
        assert sorted(lake.read("shop/orders")["name"]) == ["Ada", "Grace"]
        assert lake.read("shop/orders", version=0).height == 2
        assert lake.read("shop/users").height == 2
        assert not lake.curate("shop/users").read


def test_a_dataset_that_says_nothing_of_the_format_has_the_hash_it_had(shop):
    with shop.lake() as lake:
        config = lake.config
        users, source = config.dataset("shop/users"), config.source("shop")
        said = users.reader(source).model_dump(mode="json")
    shop.change("sources/shop", "format: json", "format: {type: json, records: users}")
    shop.change("datasets/shop/users", "format: {records: users}\n", "")
    with shop.lake() as lake:
        silent, source = lake.config.dataset("shop/users"), lake.config.source("shop")
        assert silent.reader(source) is source.format
        assert silent.fingerprint(source) == users.fingerprint(config.source("shop"))
        assert said == source.format.model_dump(mode="json")


def test_what_a_dataset_says_of_one_of_its_sources_wins_over_what_it_says_of_all(shop):
    shop.configure("sources/other", "type: files\npath: other/*.json\nformat: {type: json, null_values: [none]}")
    shop.configure(
        "datasets/shop/users",
        """
        sources: {shop: , other: {format: {records: people}}}
        format: {records: users}
        schema: {features: {id: {type: int}, name: {type: string}}}
        """,
    )
    with shop.lake() as lake:
        dataset, other = lake.config.dataset("shop/users"), lake.config.source("other")
        assert dataset.of("shop").reader(lake.config.source("shop")).model_dump()["records"] == "users"
        read = dataset.of("other").reader(other).model_dump()
    assert (read["records"], read["null_values"]) == ("people", ("none",))


def test_another_type_takes_the_place_of_the_whole_format(shop):
    shop.change("sources/shop", "format: json", "format: {type: json, null_values: [none]}")
    shop.change("datasets/shop/users", "{records: users}", "{type: csv, delimiter: ';'}")
    with shop.lake() as lake:
        read = lake.config.dataset("shop/users").reader(lake.config.source("shop"))
    assert (read.type, read.null_values) == ("csv", ())


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("{recods: users}", r"datasets/shop/users.yaml:2: format\.recods: unknown key. Did you mean 'records'\?"),
        ("{type: jsn}", r"datasets/shop/users.yaml:2: format: there is no format 'jsn'. Did you mean 'json'\?"),
        ("{records: a..b}", r"datasets/shop/users.yaml:2: format\.records: .*single dots"),
        ("{type: csv, delimiter: ab}", r"datasets/shop/users.yaml:2: format\.delimiter"),
        ("[1]", r"datasets/shop/users.yaml:2: format: must be"),
    ],
)
def test_a_mistake_in_it_is_told_where_the_dataset_says_it(shop, said, expected):
    shop.change("datasets/shop/users", "{records: users}", said)
    with pytest.raises(ConfigError, match=expected):
        shop.lake().__enter__()


def test_a_derived_dataset_reads_no_files_and_says_no_format(shop):
    shop.configure(
        "datasets/shop/names",
        """
        inputs: [shop/users]
        keys: [name]
        format: {records: users}
        sql: SELECT name FROM shop.users
        schema: {features: {name: {type: string}}}
        """,
    )
    with pytest.raises(ConfigError, match="format: is of datasets that are curated from raw files"):
        shop.lake().__enter__()


def test_a_format_of_ones_own_is_found_again_by_trace_and_rebuild(shop):
    (shop.folder / "own.py").write_text(
        "from lakehouse.formats import JsonFormat\n\n\nclass Shop(JsonFormat):\n    type: str = 'own.Shop'\n"
    )
    shop.change("sources/shop", "format: json", "format: own.Shop")
    shop.run()
    with shop.lake() as lake:
        users = lake.read("shop/users").sort("id")
        assert "Grace" in lake.trace("shop/users", users.row(1, named=True)).text
        assert lake.rebuild("shop/users").same
