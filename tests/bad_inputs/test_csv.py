"""CSV files that people, programs and networks have broken."""

import codecs

import pytest
from bad_inputs import bad, judge, judge_whole, take_in

HEAD = "id,name,amount\n"
TYPE = "the schema|int|float"


def wide():
    """A hundred thousand columns."""
    names = ",".join(f"c{number}" for number in range(100_000))
    return f"id,name,amount,{names}\n61,wide,1,{','.join('0' * 100_000)}\n"


def huge_field():
    """One field of 200 MB between whole rows."""
    return HEAD.encode() + b"62,before,1\n63," + b"x" * 200_000_000 + b",1\n64,after,1\n"


CASES = [
    bad("nothing.csv", ""),
    bad("only-blanks.csv", "   \n \n\t\n", refused="lacks the required column"),
    bad("only-line-ends.csv", "\n\n\r\n"),
    bad("header-only.csv", HEAD),
    bad("header-without-its-end.csv", HEAD.strip()),
    bad("no-end-at-the-end.csv", HEAD + "1,one,1.5", good=[1]),
    bad("a-field-too-many.csv", HEAD + "2,two,1\n3,three,1,surplus\n4,four,1\n", good=[2, 4], bad=["4 fields"]),
    bad("a-field-too-few.csv", HEAD + "5,five,1\n6,six\n7,seven,1\n", good=[5, 7], bad=["2 fields"]),
    bad("a-delimiter-at-each-end.csv", HEAD + "8,eight,1,\n9,nine,1,\n", bad=["4 fields", "4 fields"]),
    bad("only-delimiters.csv", HEAD + ",,\n10,ten,1\n", good=[10], bad=["id"]),
    bad("blank-lines-between.csv", HEAD + "\n11,eleven,1\n\n\n12,twelve,1\n\n", good=[11, 12]),
    bad("quote-never-closed.csv", HEAD + '13,thirteen,1\n14,"fourteen,1\n15,fifteen,1\n', good=[13, 15], bad=["quote"]),
    bad("quote-in-the-middle.csv", HEAD + '16,six"teen,1\n17,seventeen,1\n', good=[16, 17]),
    bad("text-after-a-quote.csv", HEAD + '18,"eight"een,1\n19,nineteen,1\n', good=[19], bad=["quote"]),
    bad("line-end-in-quotes.csv", HEAD + '20,"twen\nty",1\n21,twenty-one,1\n', good=[20, 21]),
    bad("zero-byte-in-a-field.csv", HEAD + "22,twenty\0two,1\n", refused="NUL"),
    bad("zero-bytes.csv", b"\0" * 4096, refused="NUL"),
    bad("byte-order-mark.csv", codecs.BOM_UTF8 + (HEAD + "23,one,1\n").encode(), good=[23]),
    bad("byte-order-mark-within.csv", HEAD.encode() + codecs.BOM_UTF8 + b"24,one,1\n25,two,1\n", good=[25], bad=["id"]),
    bad("utf16-with-a-mark.csv", (HEAD + "26,one,1\n").encode("utf-16"), good=[26]),
    bad("utf16-without.csv", (HEAD + "27,one,1\n").encode("utf-16-be"), refused="encoding"),
    bad(
        "latin-1.csv", HEAD.encode() + "28,Mjøsa,1\n29,plain,1\n".encode("latin-1"), good=[29], bad=["UTF-8|utf-8|text"]
    ),
    bad("cut-in-a-character.csv", HEAD.encode() + b"30,one,1\n31,\xe2\x82,1\n", good=[30], bad=["UTF-8|utf-8|text"]),
    bad("overlong-utf8.csv", HEAD.encode() + b"32,\xc0\xaf,1\n33,one,1\n", good=[33], bad=["UTF-8|utf-8|text"]),
    bad("surrogate-in-utf8.csv", HEAD.encode() + b"34,\xed\xa0\x80,1\n35,one,1\n", good=[35], bad=["UTF-8|utf-8|text"]),
    bad("old-macintosh.csv", (HEAD + "36,one,1\n37,two,2\n").replace("\n", "\r"), good=[36, 37]),
    bad("mixed-line-ends.csv", "id,name,amount\r\n38,one,1\n39,two,2\r\n", good=[38, 39]),
    bad("a-column-called-star.csv", "id,*\n40,one\n", refused="called '\\*', which polars takes for a pattern"),
    bad("a-column-called-a-pattern.csv", "id,^.*$\n40,one\n", refused="called '\\^\\.\\*\\$'"),
    bad("a-column-twice.csv", "id,name,name\n40,one,two\n", refused="same name"),
    bad("a-column-without-a-name.csv", "id,,amount\n41,one,1\n", refused="no name"),
    bad("semicolons.csv", "id;name;amount\n42;one;1\n", refused="delimiter"),
    bad("a-column-renamed.csv", "ID,name,amount\n43,one,1\n", refused="Did you mean|lacks the required column 'id'"),
    bad("header-again.csv", HEAD + "44,one,1\n" + HEAD + "45,two,1\n", good=[44, 45], bad=["id"]),
    bad("own-names.csv", "id,name,_raw\n46,one,1\n", refused="keeps for its own"),
    bad("error-page.csv", "<!DOCTYPE html><html><body>503 Service Unavailable</body></html>\n", refused="HTML"),
    bad("a-picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, refused="NUL"),
    bad("json.csv", '{"id": 47, "name": "one"}\n', refused="lacks the required column"),
    bad("number-too-large.csv", HEAD + f"{10**30},one,1\n48,two,1\n", good=[48], bad=["id"]),
    bad("numbers-of-programs.csv", HEAD + "0x10,a,1\n1_000,b,1\n1e2x,c,1\n49,d,1\n", good=[49], bad=["id"] * 3),
    bad("other-digits.csv", HEAD + "١٢,a,1\n50,b,1\n", good=[50], bad=["id"]),
    bad("decimal-commas.csv", HEAD + '51,a,"1,5"\n52,b,1.5\n', good=[52], bad=["amount"]),
    bad("a-formula.csv", HEAD + "53,=cmd|' /C calc'!A0,1\n", good=[53]),
    bad("end-of-file-mark.csv", HEAD.encode() + b"54,one,1\n\x1a", good=[54], bad=["1 field"]),
    bad("zero-width.csv", HEAD + "55\u200b,one,1\n56,two,1\n", good=[56], bad=["id"]),
    bad("name with blanks & 'quotes' *?[1].csv", HEAD + "57,one,1\n", good=[57]),
    bad("-rf.csv", HEAD + "58,one,1\n", good=[58]),
    bad("ønske\u202egpj.csv", HEAD + "59,one,1\n", good=[59]),
    bad("quoted-newlines-to-the-end.csv", HEAD + '60,"' + "a,b\n" * 1000, bad=["quote"] + ["fields"] * 999),
]
LARGE = [
    bad("a-hundred-thousand-columns.csv", wide, good=[61]),
    bad("a-field-of-200-megabytes.csv", huge_field, good=[62, 64], bad=["MiB"]),
]
WHOLE = (".csv", (HEAD + "901,good,1\n902,good,2\n").encode())


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    return take_in(tmp_path_factory.mktemp("csv"), "csv", WHOLE, CASES)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return take_in(tmp_path_factory.mktemp("large"), "csv", WHOLE, LARGE)


@pytest.mark.parametrize("case", CASES)
def test_a_broken_file_gives_its_good_rows_and_tells_of_the_others(outcome, case):
    judge(outcome, case)


@pytest.mark.parametrize("case", LARGE)
def test_a_file_that_is_too_much_gives_its_good_rows_too(large, case):
    judge(large, case)


def test_among_broken_files_nothing_is_lost_and_the_good_one_comes_through(outcome, large):
    judge_whole(outcome, ".csv")
    judge_whole(large, ".csv", peak=2 << 30)


def test_quotes_and_line_ends_inside_fields_stay_as_they_were(outcome):
    assert [row["name"] for row in outcome.rows("quote-in-the-middle.csv")] == ['six"teen', "seventeen"]
    assert [row["name"] for row in outcome.rows("line-end-in-quotes.csv")] == ["twen\nty", "twenty-one"]
