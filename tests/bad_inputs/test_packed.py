"""Compressed CSV files that were cut, mixed up or made to harm."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib

import pyarrow as pa
import pytest
from bad_inputs import bad, judge, judge_whole, take_in

HEAD = "id,name,amount\n"


def table(first, count=2000):
    """Rows that compress, but not to nothing: a cut in the middle loses some."""
    return (HEAD + "".join(f"{first + i},n{i * 7919 % 977},{i}\n" for i in range(count))).encode()


def zstd(data):
    return pa.Codec("zstd").compress(data, asbytes=True)


def flipped(data):
    """One bit in the middle is another."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


def zipped(*members, **options):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return made.getvalue()


def bomb():
    """A few MB of gzip that are four GB of CSV, all one row."""
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(HEAD.encode() + b"1,")]
    block = b"x" * (64 << 20)
    parts += [packer.compress(block) for _ in range(64)]
    return b"".join([*parts, packer.flush()])


def one_row(number):
    return f"{HEAD}{number},one,1\n".encode()


CASES = [
    bad("cut.csv.gz", lambda: gzip.compress(table(10_000), mtime=0)[:-2000], refused="truncated gzip"),
    bad("without-its-end.csv.gz", lambda: gzip.compress(table(20_000), mtime=0)[:-4], refused="truncated gzip"),
    bad("a-flipped-bit.csv.gz", lambda: flipped(gzip.compress(table(30_000), mtime=0)), refused="gzip"),
    bad("a-wrong-sum.csv.gz", lambda: gzip.compress(table(40_000), mtime=0)[:-8] + bytes(8), refused="gzip"),
    bad("only-its-head.csv.gz", b"\x1f\x8b\x08\x00", refused="truncated gzip"),
    bad("two-in-one.csv.gz", lambda: gzip.compress(one_row(1), mtime=0) + gzip.compress(b"2,two,2\n"), good=[1, 2]),
    bad("bytes-after-it.csv.gz", lambda: gzip.compress(one_row(3), mtime=0) + b"trailing rubbish", refused="gzip"),
    bad("packed-twice.csv.gz", lambda: gzip.compress(gzip.compress(one_row(4), mtime=0)), refused="NUL|binary|column"),
    bad("not-packed.csv.gz", one_row(5), good=[5]),
    bad("packed-but-not-named-so.csv", lambda: gzip.compress(one_row(6), mtime=0), good=[6]),
    bad("of-nothing.csv.gz", lambda: gzip.compress(b"", mtime=0)),
    bad("cut.csv.zst", lambda: zstd(table(50_000))[:-100], refused="zstd"),
    bad("only-its-head.csv.zst", b"\x28\xb5\x2f\xfd\x00", refused="zstd"),
    bad("cut.csv.bz2", lambda: bz2.compress(table(60_000))[:-100], refused="bz2"),
    bad("a-flipped-bit.csv.bz2", lambda: flipped(bz2.compress(table(70_000))), refused="bz2"),
    bad("whole.csv.bz2", lambda: bz2.compress(one_row(7)), good=[7]),
    bad("cut.csv.xz", lambda: lzma.compress(table(80_000))[:-100], refused="xz"),
    bad("a-flipped-bit.csv.xz", lambda: flipped(lzma.compress(table(90_000))), refused="xz"),
    bad("whole.csv.xz", lambda: lzma.compress(one_row(8)), good=[8]),
    bad("whole.csv.zip", lambda: zipped(("inside.csv", one_row(9))), good=[9]),
    bad("cut.csv.zip", lambda: zipped(("inside.csv", table(100_000)))[:-200], refused="zip"),
    bad("two-files.zip", lambda: zipped(("a.csv", one_row(10)), ("b.csv", one_row(11))), refused="unpack"),
    bad("no-file.zip", zipped, refused="zip"),
    bad("four-gigabytes.csv.gz", bomb, refused="unpack"),
]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    return take_in(folder, "csv", (".csv", (HEAD + "901,good,1\n902,good,2\n").encode()), CASES)


@pytest.mark.parametrize("case", CASES)
def test_a_broken_packing_is_refused_by_name_and_a_whole_one_is_read(outcome, case):
    judge(outcome, case)


def test_among_broken_packings_nothing_is_lost_and_the_good_file_comes_through(outcome):
    judge_whole(outcome, ".csv")
