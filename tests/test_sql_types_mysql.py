"""Every type of MariaDB and MySQL comes as exactly what the server holds."""

import pytest
from mysql_orders import ask, rows, sql, url  # noqa: F401  # a fixture

from lakehouse.formats.copy_format import escaped
from lakehouse.sources.sql.mysql import _written

TYPES = [
    ("bigint unsigned", "18446744073709551615", "18446744073709551615"),
    ("bigint", "-9223372036854775808", "-9223372036854775808"),
    ("tinyint(1)", "1", "1"),
    ("decimal(65,30)", "12345678901234567890123456789012345.123456789012345678901234567890", ...),
    ("decimal(5,2)", "1.50", "1.50"),
    ("double", "1.7976931348623157e308", "1.7976931348623157e308"),
    ("double", "0.1", "0.1"),
    ("float", "123456.789", "123456.7890625"),
    ("date", "'0000-00-00'", "0000-00-00"),
    ("date", "'9999-12-31'", "9999-12-31"),
    ("datetime(6)", "'0000-00-00 00:00:00'", "0000-00-00 00:00:00.000000"),
    ("datetime(6)", "'2026-01-01 10:00:00.123456'", "2026-01-01 10:00:00.123456"),
    ("timestamp(3) null", "'2026-01-01 10:00:00.5'", "2026-01-01 10:00:00.500"),
    ("time", "'-838:59:59'", "-838:59:59"),
    ("time(6)", "'100:00:00.000001'", "100:00:00.000001"),
    ("year", "1999", "1999"),
    ("bit(9)", "b'101'", "\\\\x0005"),
    ("blob", "x'00ff0a5c'", "\\\\x00ff0a5c"),
    ("varbinary(4)", "''", "\\\\x"),
    ("binary(3)", "x'01'", "\\\\x010000"),
    ("point", "point(1, 2)", "\\\\x000000000101000000000000000000f03f0000000000000040"),
    ("longtext", "'a\\tb\\n\\r\\\\\\\\N'", "a\\tb\\n\\r\\\\\\\\N"),
    ("text", "''", ""),
    ("text", "'NULL'", "NULL"),
    ("text", "NULL", "\\N"),
    ("varchar(9) character set latin1", "'é'", "é"),
    ("varchar(9)", "'😀'", "😀"),
    ("enum('x','y')", "'y'", "y"),
    ("set('p','q')", "'p,q'", "p,q"),
]


def test_every_type_comes_as_the_server_holds_it(url, tmp_path):  # noqa: F811
    columns = ", ".join(f"c{n} {kind}" for n, (kind, _, _) in enumerate(TYPES))
    written = ", ".join(value for _, value, _ in TYPES)
    sql(url, "SET sql_mode = ''", "SET time_zone = '+00:00'")
    sql(
        url,
        f"CREATE TABLE orders ({columns}) CHARACTER SET utf8mb4",
        "SET SESSION sql_mode = '', time_zone = '+00:00'",
        f"INSERT INTO orders VALUES ({written})",
    )
    ((found,), _, facts) = rows(ask(url, tmp_path))
    expected = [value if wanted is ... else wanted for _, value, wanted in TYPES]
    assert dict(zip(map(str, TYPES), found, strict=True)) == dict(zip(map(str, TYPES), expected, strict=True))
    assert facts["columns"][0] == {"name": "c0", "type": "bigint(20) unsigned", "nullable": True}


def test_json_is_what_the_server_stored(url, tmp_path):  # noqa: F811
    sql(url, "CREATE TABLE orders (j json)", """INSERT INTO orders VALUES ('{"a": 1.10, "b": [null]}')""")
    assert rows(ask(url, tmp_path))[0] in ([['{"a": 1.10, "b": [null]}']], [['{"a": 1.1, "b": [null]}']])


def test_a_value_that_is_no_text_is_not_mixed_up_with_the_marks_between_values():
    assert _written([(b"\xfd\xfe\xff", None), (b"\t", b"x")], []) == b"\xfd\xfe\xff\t\\N\n\\t\tx\n"


@pytest.mark.parametrize("value", ["a\\b", "\t", "\n", "\r", "\\N", ""])
def test_what_would_end_a_value_is_escaped(value):
    assert _written([(value.encode(), b"1")], []) == escaped(value.encode()) + b"\t1\n"
