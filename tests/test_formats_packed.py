"""Compressed files, and Parquet."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.errors import FormatError, NotFoundError
from lakehouse.formats import FORMATS, Count, CsvFormat, Format, ParquetFormat, Raw, packing, unpacking
from lakehouse.formats.unpacking import unpack

TEXT = b"a,b\n" + b"".join(b"%d,%d\n" % (number, number * 7919 % 104729) for number in range(20_000))


def zipped(data, *names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("only.csv",):
            archive.writestr(name, data)
    return buffer.getvalue()


def lz4ed(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


STREAMS = {
    "gzip": gzip.compress,
    "zstd": lambda data: pa.compress(data, codec="zstd", asbytes=True),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lz4": lz4ed,
}
PACKINGS = {**STREAMS, "zip": zipped}


def packed(data, codec):
    return PACKINGS[codec](data)


def raw_of(folder, data, name="file.gz"):
    path = folder / name
    path.write_bytes(data)
    return Raw(f"sha-{name}", name, path)


@pytest.mark.parametrize("codec", PACKINGS)
def test_a_compressed_file_is_known_by_its_first_bytes(tmp_path, codec):
    csv = CsvFormat()
    file = csv.prepare(raw_of(tmp_path, packed(TEXT, codec), "anything"), tmp_path)
    assert file.path.read_bytes() == TEXT
    assert csv.locate(file.raw, 20_000, tmp_path).line == 20_001


@pytest.mark.parametrize("codec", STREAMS)
def test_streams_one_after_another_are_one_file(tmp_path, codec):
    raw = raw_of(tmp_path, packed(TEXT, codec) + packed(b"1,2\n", codec))
    assert unpack(raw, CsvFormat(), tmp_path).read_bytes() == TEXT + b"1,2\n"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(list(PACKINGS)), st.data())
def test_a_stream_cut_anywhere_is_refused_as_truncated(tmp_path, codec, data):
    whole = packed(TEXT, codec)
    cut = data.draw(st.integers(16, len(whole) - 1))
    what = "damaged zip file" if codec == "zip" else f"truncated {codec} stream"
    with pytest.raises(FormatError, match=f"file.gz: {what}; replace the file"):
        unpack(raw_of(tmp_path, whole[:cut]), CsvFormat(), tmp_path)


@pytest.mark.parametrize("cut", [1, 9, 15])
def test_a_second_gzip_stream_cut_short_is_refused(tmp_path, cut):
    raw = raw_of(tmp_path, gzip.compress(TEXT) + gzip.compress(b"1,2\n")[:cut])
    with pytest.raises(FormatError, match="truncated gzip"):
        unpack(raw, CsvFormat(), tmp_path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(10, 40_000), st.integers(1, 255))
def test_a_changed_byte_in_a_gzip_is_never_read_as_something_else(tmp_path, place, flip):
    stream = bytearray(gzip.compress(TEXT, mtime=0))
    stream[place % (len(stream) - 10) + 10] ^= flip
    try:
        path = unpack(raw_of(tmp_path, bytes(stream)), CsvFormat(), tmp_path)
    except FormatError as error:
        assert "file.gz" in str(error)  # noqa: PT017
    else:
        assert path.read_bytes() == TEXT


def test_what_is_not_compressed_as_told_is_refused(tmp_path):
    with pytest.raises(FormatError, match="correct 'compression: gzip'"):
        unpack(raw_of(tmp_path, TEXT), CsvFormat(compression="gzip"), tmp_path)
    with pytest.raises(FormatError, match="0 bytes"):
        unpack(raw_of(tmp_path, b""), CsvFormat(compression="zstd"), tmp_path)
    assert (
        unpack(raw_of(tmp_path, gzip.compress(TEXT)), CsvFormat(compression="none"), tmp_path) == tmp_path / "file.gz"
    )


def test_the_formats_are_known_by_their_type():
    assert {name: form.model_fields["type"].default for name, form in FORMATS.items()} == {
        name: name for name in FORMATS
    }
    assert all(issubclass(form, Format) for form in FORMATS.values())


@pytest.mark.parametrize("codec", STREAMS)
def test_what_follows_a_stream_is_not_passed_over(tmp_path, codec):
    with pytest.raises(FormatError, match=f"(damaged|truncated) {codec} stream"):
        unpack(raw_of(tmp_path, packed(TEXT, codec) + b"and more, that is no stream"), CsvFormat(), tmp_path)


@pytest.mark.parametrize("codec", PACKINGS)
def test_a_file_may_not_become_larger_than_is_said(tmp_path, codec):
    raw = raw_of(tmp_path, packed(TEXT, codec))
    with pytest.raises(FormatError, match="unpacks to more than 100,000 bytes; if it is right, say 'max_unpacked'"):
        unpack(raw, CsvFormat(max_unpacked="100KB"), tmp_path)
    assert unpack(raw, CsvFormat(max_unpacked=len(TEXT)), tmp_path).read_bytes() == TEXT


def test_what_becomes_hundreds_of_times_larger_is_a_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "FREE_OF_RATIO", 1 << 20)
    for pack, times in ((gzip.compress, "500"), (lzma.compress, "2,000")):
        bomb = raw_of(tmp_path, pack(b"0" * (8 << 20)))
        told = rf"more than {times} times its [0-9,]+ bytes, as bombs do; .* such as 'max_unpacked: 50GB'"
        with pytest.raises(FormatError, match=told):
            unpack(bomb, CsvFormat(), tmp_path)
        assert unpack(bomb, CsvFormat(max_unpacked="8MiB"), tmp_path).stat().st_size == 8 << 20


def test_a_log_that_repeats_but_for_its_counter_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "FREE_OF_RATIO", 1 << 20)
    log = b"".join(b"2026-11-23T10:00:00Z INFO request %08d served in 12 ms\n" % n for n in range(150_000))
    for pack in (gzip.compress, lzma.compress):
        assert unpack(raw_of(tmp_path, pack(log)), CsvFormat(), tmp_path).read_bytes() == log


def test_a_zip_file_of_several_members_asks_for_unpack(tmp_path):
    with pytest.raises(FormatError, match="a zip file of 2 members; say 'unpack: zip'"):
        unpack(raw_of(tmp_path, zipped(b"a", "1.csv", "2.csv")), CsvFormat(), tmp_path)


def test_a_zip_file_packed_in_a_way_that_is_not_known_is_not_called_damaged(tmp_path):
    data = bytearray(zipped(b"a", "1.csv"))
    data[8] = data[data.find(b"PK\1\2") + 10] = 9  # deflate64
    with pytest.raises(FormatError, match=r"a zip file that cannot be read \(.*compression method.*packed another way"):
        unpack(raw_of(tmp_path, bytes(data)), CsvFormat(), tmp_path)


@pytest.mark.parametrize("kind", ["csv", "lines"])
@pytest.mark.parametrize("encoding", ["punycode", "idna", "rot13", "nope"])
def test_an_encoding_that_cannot_read_a_damaged_file_is_no_text_encoding(kind, encoding):
    with pytest.raises(ValueError, match=f"'{encoding}' is no text encoding"):
        FORMATS[kind](encoding=encoding)


def test_text_that_begins_like_bzip2_is_text(tmp_path):
    raw = raw_of(tmp_path, b"BZh9,b\n1,2\n")
    assert unpack(raw, CsvFormat(), tmp_path) == raw.path


def test_a_packing_is_known_by_content(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    tar = buffer.getvalue()
    found = {name: packing(raw_of(tmp_path, packed(TEXT, name)).path) for name in PACKINGS}
    assert found == {name: name for name in PACKINGS}
    assert packing(raw_of(tmp_path, TEXT).path) == packing(raw_of(tmp_path, b"").path) == ""
    assert {packing(raw_of(tmp_path, data).path) for data in (tar, *(packed(tar, name) for name in STREAMS))} == {"tar"}


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
    line, text, _ = ParquetFormat().locate(raw, 2, tmp_path)
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
