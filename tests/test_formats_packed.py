"""Compressed files, and Parquet."""

from __future__ import annotations

import gzip
import json

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.errors import FormatError, NotFoundError
from lakehouse.formats import FORMATS, Count, CsvFormat, Format, ParquetFormat, Raw
from lakehouse.formats.unpacking import unpack

TEXT = b"a,b\n" + b"".join(b"%d,%d\n" % (number, number * 7919 % 104729) for number in range(20_000))


def packed(data, codec):
    return pa.compress(data, codec=codec, asbytes=True)


def raw_of(folder, data, name="file.gz"):
    path = folder / name
    path.write_bytes(data)
    return Raw(f"sha-{name}", name, path)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_a_compressed_file_is_known_by_its_first_bytes(tmp_path, codec):
    csv = CsvFormat()
    file = csv.prepare(raw_of(tmp_path, packed(TEXT, codec), "anything"), tmp_path)
    assert file.path.read_bytes() == TEXT
    assert csv.locate(file.raw, 20_000, tmp_path).line == 20_001


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_streams_one_after_another_are_one_file(tmp_path, codec):
    raw = raw_of(tmp_path, packed(TEXT, codec) + packed(b"1,2\n", codec))
    assert unpack(raw, "auto", tmp_path).read_bytes() == TEXT + b"1,2\n"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["gzip", "zstd"]), st.data())
def test_a_stream_cut_anywhere_is_refused_as_truncated(tmp_path, codec, data):
    whole = packed(TEXT, codec)
    cut = data.draw(st.integers(4, len(whole) - 1))
    with pytest.raises(FormatError, match=r"file.gz: truncated (gzip|zstd) stream; replace the file"):
        unpack(raw_of(tmp_path, whole[:cut]), "auto", tmp_path)


@pytest.mark.parametrize("cut", [1, 9, 15])
def test_a_second_gzip_stream_cut_short_is_refused(tmp_path, cut):
    raw = raw_of(tmp_path, gzip.compress(TEXT) + gzip.compress(b"1,2\n")[:cut])
    with pytest.raises(FormatError, match="truncated gzip"):
        unpack(raw, "auto", tmp_path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(10, 40_000), st.integers(1, 255))
def test_a_changed_byte_in_a_gzip_is_never_read_as_something_else(tmp_path, place, flip):
    stream = bytearray(gzip.compress(TEXT, mtime=0))
    stream[place % (len(stream) - 10) + 10] ^= flip
    try:
        path = unpack(raw_of(tmp_path, bytes(stream)), "auto", tmp_path)
    except FormatError as error:
        assert "file.gz" in str(error)  # noqa: PT017
    else:
        assert path.read_bytes() == TEXT


def test_what_is_not_compressed_as_told_is_refused(tmp_path):
    with pytest.raises(FormatError, match="correct 'compression: gzip'"):
        unpack(raw_of(tmp_path, TEXT), "gzip", tmp_path)
    with pytest.raises(FormatError, match="0 bytes"):
        unpack(raw_of(tmp_path, b""), "zstd", tmp_path)
    assert unpack(raw_of(tmp_path, gzip.compress(TEXT)), "none", tmp_path) == tmp_path / "file.gz"


def test_the_formats_are_known_by_their_type():
    assert {name: form().type for name, form in FORMATS.items()} == {name: name for name in FORMATS}
    assert all(issubclass(form, Format) for form in FORMATS.values())


FRAME = pl.DataFrame(
    {
        "n": [1, 2, 3],
        "price": [1.5, None, 3.0],
        "day": pl.Series(["2026-01-01"] * 3).str.to_date(),
        "tags": [["x"], [], None],
    }
)


def parquet(frame, folder, name="file.parquet"):
    frame.write_parquet(folder / name)
    return Raw(f"sha-{name}", name, folder / name)


def test_parquet_keeps_its_types_and_numbers_its_rows(tmp_path):
    form = ParquetFormat()
    files = [form.prepare(parquet(FRAME, tmp_path, f"{n}*.parquet"), tmp_path) for n in range(2)]
    assert (files[0].columns, files[0].rows) == (tuple(FRAME.columns), 3)
    found = form.scan(files).collect(engine="streaming")
    assert found.select(FRAME.columns).equals(pl.concat([FRAME, FRAME]))
    assert found["_row"].to_list() == [1, 2, 3, 1, 2, 3]
    assert found["_raw"].to_list() == ["sha-0*.parquet"] * 3 + ["sha-1*.parquet"] * 3
    assert not form.doubtful(files, {file.raw.sha256: Count(3, 0) for file in files})
    assert list(form.doubtful(files, {files[0].raw.sha256: Count(3, 0)})) == files


def test_parquet_of_other_types_is_scanned_apart(tmp_path):
    form = ParquetFormat()
    one = form.prepare(parquet(FRAME, tmp_path, "1.parquet"), tmp_path)
    other = form.prepare(parquet(FRAME.with_columns(pl.col("n").cast(pl.String)), tmp_path, "2.parquet"), tmp_path)
    assert form.groups([one, other, one]) == [[one, one], [other]]


def test_parquet_locates_a_row_as_json(tmp_path):
    raw = parquet(FRAME, tmp_path)
    line, text = ParquetFormat().locate(raw, 2, tmp_path)
    assert (line, json.loads(text)) == (None, {"n": 2, "price": None, "day": "2026-01-01", "tags": []})
    with pytest.raises(NotFoundError, match="it has 3"):
        ParquetFormat().locate(raw, 4, tmp_path)


def test_parquet_that_is_none_or_cut_short_is_refused(tmp_path):
    whole = parquet(FRAME, tmp_path).path.read_bytes()
    for data, message in (
        (whole[:-6], "truncated"),
        (b"a,b\n", "not Parquet"),
        (whole[:4], "truncated"),
        (b"", "not Parquet"),
    ):
        with pytest.raises(FormatError, match=f"file.gz: {message}"):
            ParquetFormat().prepare(raw_of(tmp_path, data), tmp_path)
    broken_footer = whole[:-20] + b"\xff" * 12 + whole[-8:]
    with pytest.raises(FormatError, match="damaged Parquet"):
        ParquetFormat().prepare(raw_of(tmp_path, broken_footer), tmp_path)


def test_parquet_with_a_damaged_page_is_refused_when_read_with_care(tmp_path):
    whole = bytearray(parquet(FRAME, tmp_path).path.read_bytes())
    whole[4:40] = b"\xff" * 36
    form = ParquetFormat()
    file = form.prepare(raw_of(tmp_path, bytes(whole)), tmp_path)
    with pytest.raises(FormatError, match="damaged Parquet"):
        form.careful(file, tmp_path)


def test_whole_parquet_read_with_care_is_the_same(tmp_path):
    form = ParquetFormat()
    found = form.careful(form.prepare(parquet(FRAME, tmp_path), tmp_path), tmp_path)
    assert found.frame.collect().drop("_raw", "_row").equals(FRAME)
    assert found.broken.collect().is_empty()
