"""XML: elements become records, as they stand, in bounded memory, and no entity is expanded."""

import pytest

from lakehouse.errors import FormatError, NotFoundError
from lakehouse.formats import Raw, XmlFormat

BOOKS = b"""<?xml version="1.0"?>
<c xmlns:x="urn:x"><meta/>
 <b id="1"><t>a &amp; b</t><x:n>1.10</x:n><tag>p</tag><tag>q</tag></b>
 <b id="2"><by><name>N</name></by>mixed<t/></b><b n=">"/>
</c>"""


def raw_of(folder, data):
    path = folder / "books.xml"
    path.write_bytes(data)
    return Raw("sha", "books.xml", path)


def read(folder, data, row="c/b"):
    form = XmlFormat(row=row)
    file = form.prepare(raw_of(folder, data), folder)
    frame = form.scan([file]).select(*file.columns).collect()
    return [{key: value for key, value in record.items() if value is not None} for record in frame.to_dicts()]


def test_attributes_texts_repeated_nested_and_mixed_content_are_columns(tmp_path):
    assert read(tmp_path, BOOKS) == [
        {"@id": "1", "t": "a & b", "x:n": "1.10", "tag": '["p", "q"]'},
        {"@id": "2", "by": '{"name": "N"}', "#text": "mixed"},
        {"@n": ">"},
    ]


def test_trace_finds_the_element_as_it_stands(tmp_path):
    form = XmlFormat(row="c/b")
    raw = raw_of(tmp_path, BOOKS)
    assert form.locate(raw, 2, tmp_path)[:2] == (4, '<b id="2"><by><name>N</name></by>mixed<t/></b>')
    assert form.locate(raw, 3, tmp_path).text == '<b n=">"/>'
    with pytest.raises(NotFoundError, match="it has 3"):
        form.locate(raw, 4, tmp_path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "latin-1", "utf-8-sig"])
def test_a_file_in_any_encoding_is_read_and_traced_as_text(tmp_path, encoding):
    said = "" if encoding.startswith("utf") else f'<?xml version="1.0" encoding="{encoding}"?>'
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    data = f"{mark}{said}<c><b n='&lt;é'>ø</b> <b/></c>".encode(encoding)
    assert read(tmp_path, data) == [{"@n": "<é", "#text": "ø"}, {}]
    assert XmlFormat(row="c/b").locate(raw_of(tmp_path, data), 1, tmp_path).text == "<b n='&lt;é'>ø</b>"


def test_a_document_type_that_is_elsewhere_is_not_fetched(tmp_path):
    data = b'<!DOCTYPE c SYSTEM "http://127.0.0.1:9/c.dtd"><c><b n="&amp;&#38;">&lt;</b></c>'
    assert read(tmp_path, data) == [{"@n": "&&", "#text": "<"}]


@pytest.mark.parametrize("size", [60, 100, 150, len(BOOKS) - 2])
def test_a_truncated_file_is_refused_as_a_whole(tmp_path, size):
    with pytest.raises(FormatError, match="XML at line"):
        read(tmp_path, BOOKS[:size])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'<!DOCTYPE c [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><c><b>&b;</b></c>', "declares entities"),
        (b'<!DOCTYPE c [<!ENTITY a SYSTEM "file:///etc/passwd">]><c><b>&a;</b></c>', "declares entities"),
        (b'<!DOCTYPE c SYSTEM "c.dtd"><c><b>caf&eacute;</b></c>', "the entity '&eacute;' is declared elsewhere"),
        (b'<!DOCTYPE c SYSTEM "c.dtd"><c><b n="caf&eacute;"/></c>', "the entity '&eacute;' is declared elsewhere"),
        (b"<c><b>" + b"<d>" * 1000, "deeper than 200"),
        (b"<html><body></body></html>", "it has no element 'c/b'"),
        (b"id,name\n1,2\n", "not XML at line 1"),
        (b"", "not XML"),
    ],
)
def test_what_is_no_such_file_is_refused_by_name(tmp_path, data, message):
    with pytest.raises(FormatError, match=f"books.xml: .*{message}"):
        read(tmp_path, data)


def test_many_records_over_several_blocks_are_all_read(tmp_path):
    data = b"<c>" + b"".join(b"<b><n>%d</n><x>%s</x></b>" % (n, b"y" * 100) for n in range(20_000)) + b"</c>"
    assert [int(row["n"]) for row in read(tmp_path, data)] == list(range(20_000))


def test_a_record_larger_than_can_be_held_is_refused_before_it_is_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("lakehouse.formats.xml_format._LARGEST", 1 << 20)
    long = b"<c><b><t>short</t></b><b><t>" + b"x" * (4 << 20) + b"</t></b></c>"
    with pytest.raises(FormatError, match="the record here is longer than 1 MiB"):
        read(tmp_path, long)


def test_a_record_of_many_children_keeps_them_all_in_order(tmp_path):
    (row,) = read(tmp_path, b"<c><b>" + b"".join(b"<t>%d</t>" % n for n in range(20_000)) + b"</b></c>")
    assert row["t"] == "[" + ", ".join(f'"{n}"' for n in range(20_000)) + "]"
