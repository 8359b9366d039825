"""Binary: one row a file that says what it is."""

import gzip
import hashlib
import sys

import pytest

from lakehouse.errors import ConfigError
from lakehouse.formats import BinaryFormat, Raw

PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x05\0\0\0\x07\x08\x02\0\0\0\x02\x50\x58\xea"
    b"\0\0\0\x0cIDATx\x9cc\xf8\xff\xff?\0\x05\xfe\x02\xfe\0\0\0\0IEND\xaeB`\x82"
)


def read(folder, name, data):
    path = folder / "blob"
    path.write_bytes(data)
    file = BinaryFormat().prepare(Raw("sha", name, path), folder)
    (row,) = BinaryFormat().scan([file]).select(*file.columns).collect().to_dicts()
    return row


@pytest.mark.parametrize(
    ("name", "data", "kind", "pixels"),
    [
        ("a.PNG", PNG, "image/png", (5, 7)),
        ("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg" width="3" height="4"/>', "image/svg+xml", (3, 4)),
        ("cut.png", PNG[:20], "image/png", (None, None)),
        ("a.gz", gzip.compress(b"x", mtime=0), "application/x-gzip", (None, None)),
        ("a.pdf", b"%PDF-1.7\n%%EOF\n", "application/pdf", (None, None)),
        ("none", b"", "application/x-empty", (None, None)),
        ("plain", b"\x01\x02\x03", "application/octet-stream", (None, None)),
    ],
)
def test_a_file_of_any_kind_is_one_row(tmp_path, name, data, kind, pixels):
    row = read(tmp_path, name, data)
    assert (row["media_type"], (row["width"], row["height"])) == (kind, pixels)
    assert (row["size"], row["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert (row["name"], row["extension"]) == (name, name.rpartition(".")[2].lower() if "." in name else None)


@pytest.mark.parametrize("library", ["puremagic", "imagesize"])
def test_without_the_extra_its_name_is_told(tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError, match=r"pip install 'lakehouse\[media\]'"):
        read(tmp_path, "a.png", PNG)
