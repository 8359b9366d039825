"""JSON that programs cut short, nested or mixed up."""

import codecs
import json

import pytest
from bad_inputs import bad, judge, judge_whole, take_in

GOOD = [{"id": 901, "name": "good", "amount": 1}, {"id": 902, "name": "good", "amount": 2.5}]


def line(number, **more):
    return json.dumps({"id": number, "name": "one", "amount": 1, **more}) + "\n"


def many_keys():
    """Lines that each bring keys of their own: values in the place of keys."""
    return "".join(json.dumps({"id": 60 + n, **{f"k{n}-{m}": m for m in range(4000)}}) + "\n" for n in range(4))


LINES = [
    bad("nothing.ndjson", ""),
    bad("blank-lines.ndjson", "\n\n" + line(1) + "\n" + line(2), good=[1, 2]),
    bad("cut-at-its-end.ndjson", line(3) + line(4)[:-9], good=[3], bad=["row: not JSON"]),
    bad("a-line-that-is-none.ndjson", line(5) + "oops\n" + line(6), good=[5, 6], bad=["row: not a JSON object"]),
    bad("other-values.ndjson", line(7) + '[1]\n"text"\n3\nnull\ntrue\n', good=[7], bad=["not a JSON object"] * 5),
    bad("a-comma-too-many.ndjson", line(8) + '{"id": 9, "name": "x",}\n', good=[8], bad=["row: not JSON"]),
    bad("single-quotes.ndjson", line(10) + "{'id': 11}\n", good=[10], bad=["row: not JSON"]),
    bad("a-key-twice.ndjson", line(12) + '{"id": 13, "id": 14}\n', good=[12], bad=["stands twice"]),
    bad("not-a-number.ndjson", line(15) + '{"id": 16, "amount": NaN}\n', good=[15], bad=["not JSON"]),
    bad("half-a-character.ndjson", line(17) + '{"id": 18, "name": "\\ud800"}\n', good=[17], bad=["surrogate"]),
    bad("undecodable.ndjson", line(19).encode() + b'{"id": 20, "name": "\xff"}\n', good=[19], bad=["row:|not"]),
    bad("byte-order-mark.ndjson", codecs.BOM_UTF8 + line(21).encode(), good=[21]),
    bad("utf16.ndjson", line(22).encode("utf-16"), good=[22]),
    bad("deep.ndjson", line(23) + '{"id": 24, "x": ' + "[" * 100_000 + "]" * 100_000 + "}\n", good=[23], bad=["deep"]),
    bad("numbers-too-large.ndjson", line(25) + '{"id": 1e400}\n{"id": 123456789012345678901234567890}\n', good=[25],
        bad=["id", "id"]),
    bad("text-for-a-number.ndjson", line(26) + '{"id": 27, "amount": "1.5"}\n', good=[26, 27]),
    bad("an-object-for-a-number.ndjson", line(28) + '{"id": {"a": 1}}\n', good=[28], bad=["id"]),
    bad("two-in-a-line.ndjson", line(29) + '{"id": 30}{"id": 31}\n', good=[29], bad=["row: not JSON"]),
    bad("a-control-character.ndjson", line(32) + '{"id": 33, "name": "a\x01b"}\n', good=[32], bad=["row: not JSON"]),
    bad("an-array.ndjson", json.dumps([{"id": 34}, {"id": 35}]) + "\n", refused="array|JSON object"),
    bad("error-page.ndjson", "<html><body>Bad gateway</body></html>\n", refused="JSON"),
    bad("own-names.ndjson", '{"id": 36, "_raw": 1}\n', refused="keeps for its own"),
    bad("values-for-keys.ndjson", many_keys, refused="keys"),
]  # fmt: skip
WHOLE = [
    bad("nothing.json", ""),
    bad("an-empty-array.json", "[]"),
    bad("one-object.json", json.dumps({"id": 1, "name": "one"}), good=[1]),
    bad("cut.json", json.dumps([{"id": 2}, {"id": 3}])[:-4], refused="truncated JSON"),
    bad("never-closed.json", '[{"id": 4}', refused="truncated JSON"),
    bad("two-values.json", '[{"id": 5}] [{"id": 6}]', refused="more than one"),
    bad("a-comma-too-many.json", '[{"id": 7},]', refused="missing after|not JSON"),
    bad("no-comma.json", '[{"id": 8} {"id": 9}]', refused="not JSON"),
    bad("a-number.json", "42", refused="neither an array"),
    bad("elements-that-are-none.json", '[{"id": 10}, 11, "x", null]', good=[10], bad=["not a JSON object"] * 3),
    bad("deep.json", "[" * 200_000, refused="deep|truncated"),
    bad("deep-inside.json", '[{"id": 12}, {"id": 13, "x": ' + "[" * 100_000 + "]" * 100_000 + "}]", refused="deep"),
    bad("undecodable.json", b'[{"id": 14}, {"id": 15, "name": "\xff"}]', good=[14], bad=["row:|not"]),
    bad("with-comments.json", '[{"id": 16} // one\n]', refused="not JSON"),
    bad("error-page.json", "<html><body>Bad gateway</body></html>", refused="neither an array|not JSON"),
    bad("byte-order-mark.json", codecs.BOM_UTF8 + b'[{"id": 17}]', good=[17]),
    bad("a-line-end-in-a-string.json", '[{"id": 18, "name": "a\nb"}]', refused="not JSON"),
]


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    good = "".join(json.dumps(one) + "\n" for one in GOOD).encode()
    return take_in(tmp_path_factory.mktemp("ndjson"), "ndjson", (".ndjson", good), LINES)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return take_in(tmp_path_factory.mktemp("json"), "json", (".json", json.dumps(GOOD).encode()), WHOLE)


@pytest.mark.parametrize("case", LINES)
def test_a_file_with_broken_lines_gives_its_good_ones_and_tells_of_the_others(lines, case):
    judge(lines, case)


@pytest.mark.parametrize("case", WHOLE)
def test_a_broken_json_file_is_refused_by_name_and_broken_elements_are_told_apart(whole, case):
    judge(whole, case)


def test_among_broken_json_nothing_is_lost_and_the_good_files_come_through(lines, whole):
    judge_whole(lines, ".ndjson")
    judge_whole(whole, ".json")
