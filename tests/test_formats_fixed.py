"""Fixed-width text: characters in their places, what does not fit set apart."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lines_read import read
from pydantic import ValidationError

from lakehouse.errors import NotFoundError
from lakehouse.formats import FORMATS, Raw


def fixed(**options):
    return FORMATS["fixed"].model_validate({"type": "fixed", **options})


def test_places_are_characters_and_not_bytes(tmp_path):
    form = fixed(columns={"id": 2, "name": 6, "place": "10-14"})
    whole, broken = read(form, tmp_path, " 1Åse    -Tromsø\n12Bjørn  Oslo \n".encode())
    assert broken == [(1, " 1Åse    -Tromsø", "row: longer than 14 characters")]
    assert whole == [("12", "Bjørn", "Oslo", 2)]


def test_short_and_long_lines_are_broken_and_empty_ones_are_none(tmp_path):
    form = fixed(columns={"a": 2, "b": 2}, header=True, skip=1, comment="#")
    data = b"title\nAABB\n\n1 2 \n#no\n1 2\n1 2 x\n  3 \n"
    whole, broken = read(form, tmp_path, data)
    assert whole == [("1", "2", 4), (None, "3", 8)]
    assert broken == [(6, "1 2", "row: shorter than 4 characters"), (7, "1 2 x", "row: longer than 4 characters")]
    assert form.locate(Raw("x", "x", tmp_path / "file.txt"), 7, tmp_path) == (7, "1 2 x", "")
    with pytest.raises(NotFoundError, match="line 3 is no record; it has 4 records"):
        form.locate(Raw("x", "x", tmp_path / "file.txt"), 3, tmp_path)


def test_lines_may_lack_the_blanks_at_their_end(tmp_path):
    form = fixed(columns={"a": 2, "b": 9}, trimmed=True, strip="right")
    assert read(form, tmp_path, b"1 2\r\n1\r\n x y\r\n") == ([("1", "2", 1), ("1", None, 2), (" x", " y", 3)], [])


def test_lines_that_are_no_text_are_broken_alone(tmp_path):
    whole, broken = read(fixed(columns={"a": 1}), tmp_path, b"\xef\xbb\xbf1\n\xff\n3\n")
    assert whole == [("1", 1), ("3", 3)]
    assert broken == [(2, "\\xff", "row: not utf-8, or longer than 16 MiB")]


@pytest.mark.parametrize("columns", [{}, {"a": 0}, {"a": "5-2"}, {"a": "x"}, {"a": True}, {"_row": 3}])
def test_places_that_cannot_be_are_refused(columns):
    with pytest.raises(ValidationError):
        fixed(columns=columns)


def test_what_a_format_writes_out_is_what_it_reads():
    form = fixed(columns={"a": 2, "b": "4-5"})
    assert FORMATS["fixed"].model_validate(form.model_dump(mode="json")) == form


texts = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=8))
def test_what_is_padded_comes_back(tmp_path, rows):
    rows = [(one, other) for one, other in rows if (one + other).strip()]
    data = "".join(f"{one:6}{other:6}\n" for one, other in rows).encode()
    whole, broken = read(fixed(columns={"a": 6, "b": 6}, strip="none"), tmp_path, data)
    padded = [tuple(f"{text:6}" if text.strip() else None for text in row) for row in rows]
    kept = pl.Series([one + other for one, other in rows], dtype=pl.String).str.strip_chars() != ""
    assert (broken, [row[:2] for row in whole]) == ([], [row for row, keep in zip(padded, kept, strict=True) if keep])
