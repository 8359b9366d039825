"""Every kind of value PostgreSQL has comes out of the lake as the server's own text."""

import json

import psycopg
import pytest
from sqlalchemy.engine import make_url

VALUES = {
    "numeric": [
        "1e50",
        "-0.00000000000000000000000000000000000000000000000001",
        "9" * 60 + "." + "1" * 40,
        "NaN",
        "Infinity",
    ],
    "numeric(38,20)": ["123456789012345678.12345678901234567890"],
    "double precision": ["0.1", "1e308", "5e-324", "NaN", "-Infinity", "-0"],
    "real": ["0.1", "3.4e38"],
    "bigint": ["9223372036854775807", "-9223372036854775808"],
    "interval": ["1 year 2 mons -3 days 04:05:06.789", "-1 day", "0"],
    "money": ["-92233720368547758.08", "1234.5"],
    "json": ['{"a": 1, "a": 2,  "b":null}', "null", '"\\u00e9\\n"'],
    "jsonb": ['{"b": 1.10, "a": ["x\\ty"]}'],
    "integer[]": ["{}", "{{1,2},{3,NULL}}", "[0:1]={1,2}"],
    "text[]": ['{"a,b",NULL,"NULL","q\\"x","b\\\\s",""}'],
    "pair": ['(1,"a ""quoted"", text")', "(,)"],
    "mood": ["sad", "it's"],
    "percent": ["99"],
    "inet": ["192.168.0.1/24", "::ffff:1.2.3.4"],
    "cidr": ["10.0.0.0/8"],
    "macaddr": ["08:00:2b:01:02:03"],
    "date": ["infinity", "-infinity", "0044-03-15 BC", "5874897-12-31", "2024-02-29"],
    "timestamp": ["infinity", "4713-01-01 00:00:00 BC", "2024-06-30 23:59:59.999999"],
    "timestamptz": ["2024-06-30 23:59:59.999999+05:30", "-infinity", "0001-01-01 00:00:00+00 BC"],
    "time": ["24:00:00", "00:00:00.000001"],
    "timetz": ["23:59:59.999999-15:59:59"],
    "bytea": ["\\x", "\\x00ff5c0a09"],
    "uuid": ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"],
    "xml": ["<a b='1'>t&amp;\t\n</a>"],
    "bit(5)": ["10101"],
    "bit varying": ["", "1"],
    "int4range": ["[1,5)", "empty", "(,)"],
    "tstzrange": ['["2024-01-01 00:00:00+00",infinity)'],
    "text": [
        "",
        "NULL",
        "\\N",
        "\\.",
        "a\tb\nc\rd\\e",
        "\x01\x08\x0b\x0c\x7f",
        "ünï 😀 \ufeff",
        " blank ",
        '"',
        "\u2028",
    ],
    "character(4)": ["a"],
    '"char"': ["x"],
    "boolean": ["true", "false"],
    "oid": ["4294967295"],
    "regclass": ["pg_catalog.pg_class"],
    "tsvector": ["'it''s':1A a:2"],
    "point": ["(1.5,-2)"],
}

CASES = [(kind, value) for kind, values in VALUES.items() for value in [*values, None]]


@pytest.fixture(scope="module")
def address(servers, tmp_path_factory):
    """A database with a table of one column a type, and a row a value."""
    url = make_url(servers.new("postgresql", tmp_path_factory.mktemp("types"))).set(drivername="postgresql")
    address = url.render_as_string(hide_password=False)
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(VALUES))
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE TYPE pair AS (a int, b text)")
        connection.execute("CREATE TYPE mood AS ENUM ('sad', 'it''s')")
        connection.execute("CREATE DOMAIN percent AS numeric(5,2) CHECK (VALUE <= 100)")
        connection.execute(f"CREATE TABLE types (row int, {columns})")
        for row, (kind, value) in enumerate(CASES):
            column = f"c{list(VALUES).index(kind)}"
            connection.execute(f"INSERT INTO types (row, {column}) VALUES (%s, %s::text::{kind})", (row, value))
    return address


@pytest.fixture
def lake(project, address):
    features = "\n".join(f"        c{number}: {{type: string, presence: optional}}" for number in range(len(VALUES)))
    project.configure("sources/flights", f"type: sql\nurl: {address}\ntable: types")
    project.configure(
        f"datasets/{project.flights}",
        f"source: flights\nkeys: [row]\nschema:\n  features:\n        row: {{type: int}}\n{features}",
    )
    with project.lake() as lake:
        yield lake


def test_every_value_is_read_back_as_the_servers_text(lake, project, address):
    lake.land("flights")
    curated = lake.curate(project.flights)
    assert (curated.read, curated.rejected) == (len(CASES), 0), curated.notes
    got = lake.read(project.flights).sort("row")
    with psycopg.connect(address) as connection:
        for setting in ("TimeZone = 'UTC'", "lc_monetary = 'C'", "extra_float_digits = 3", "IntervalStyle = postgres"):
            connection.execute(f"SET {setting}")
        for row, (kind, value) in enumerate(CASES):
            column = f"c{list(VALUES).index(kind)}"
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {column} FROM types WHERE row = {row}")
                written = cursor.pgresult.get_value(0, 0)
            assert (kind, got[column][row]) == (kind, None if value is None else written.decode())


def test_values_of_a_type_the_schema_has_are_typed(project, address):
    project.configure(
        f"datasets/{project.flights}",
        """
        source: flights
        keys: [row]
        schema:
          features:
            row: {type: int}
            whole: {type: int}
            exact: {type: decimal, precision: 38, scale: 20}
            number: {type: float}
            moment: {type: datetime, format: "%Y-%m-%d %H:%M:%S%.f%#z"}
            day: {type: date}
            flag: {type: bool, true_values: [t], false_values: [f]}
        """,
    )
    project.configure(
        "sources/flights",
        f"""
        type: sql
        url: {address}
        query: >
          SELECT 1 AS row, 9223372036854775807 AS whole, 123456789012345678.12345678901234567890 AS exact,
          0.1::float8 AS number, '2024-06-30 23:59:59.999999+05:30'::timestamptz AS moment, '2024-02-29'::date AS day,
          true AS flag
        """,
    )
    with project.lake() as changed:
        changed.land("flights")
        assert changed.curate(project.flights).rejected == 0
        [row] = changed.read(project.flights).to_dicts()
    assert row["whole"] == 9223372036854775807
    assert str(row["exact"]) == "123456789012345678.12345678901234567890"
    assert row["number"] == 0.1
    assert row["moment"].isoformat() == "2024-06-30T18:29:59.999999+00:00"
    assert row["day"].isoformat() == "2024-02-29"
    assert row["flag"] is True


def test_the_manifest_has_the_catalogs_types(lake):
    lake.land("flights")
    [found] = [a for a in lake._site.ledger.get_artifacts() if "facts" in a.custom_properties]
    types = [column["type"] for column in json.loads(found.custom_properties["facts"])["columns"]][1:]
    full = {"timestamp": "timestamp without time zone", "timestamptz": "timestamp with time zone"}
    full |= {"time": "time without time zone", "timetz": "time with time zone"}
    assert types == [full.get(kind, kind) for kind in VALUES]
