"""Spreadsheets: cells as text, the sheet that is meant, and what is no sheet refused by name."""

import datetime as dt
import io
import sys
import zipfile

import pytest
import xlsxwriter

from lakehouse.errors import ConfigError, FormatError
from lakehouse.formats import ExcelFormat, Raw


@pytest.fixture(scope="module")
def book():
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as made:
        day, clock = (made.add_format({"num_format": form}) for form in ("yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss"))
        percent = made.add_format({"num_format": "0%"})
        hidden, sheet, wide = (made.add_worksheet(name) for name in ("Hidden", "Facts", "Wide"))
        sheet.activate()
        sheet.set_first_sheet()
        hidden.hide()
        hidden.write(0, 0, "x")
        sheet.write_row(0, 0, ["n", "code", "day", "at", "ok", "bad", "mixed", "share"])
        for row, mixed in enumerate((1, "x", 2.5), 1):
            sheet.write_row(row, 0, [row, f"00{row}"])
            sheet.write_datetime(row, 2, dt.date(2024, 1, row), day)
            sheet.write_datetime(row, 3, dt.datetime(2024, 1, row, 10 * (row > 1)), clock)  # noqa: DTZ001
            sheet.write(row, 4, row == 1)
            sheet.write_formula(row, 5, "=1/0", None, "#DIV/0!")
            sheet.write(row, 6, mixed)
            sheet.write(row, 7, 0.125, percent)
        sheet.write(6, 0, "")
        wide.write(2, 1, "a")
        wide.write(3, 1, 1)
        wide.write(4, 1, 2)
    return buffer.getvalue()


def prepared(folder, data, **options):
    path = folder / "book.xlsx"
    path.write_bytes(data)
    form = ExcelFormat(**options)
    return form, form.prepare(Raw("sha", "book.xlsx", path), folder)


def read(folder, data, **options):
    form, file = prepared(folder, data, **options)
    return form.scan([file]).select(*file.columns).collect().to_dicts()


def test_cells_are_the_text_of_their_values(tmp_path, book):
    first, second, third = read(tmp_path, book, sheet="Facts")
    assert first == {
        "n": "1",
        "code": "001",
        "day": "2024-01-01",
        "at": "2024-01-01 00:00:00",
        "ok": "true",
        "bad": "#DIV/0!",
        "mixed": "1",
        "share": "0.125",
    }
    assert (second["at"], second["mixed"], third["mixed"]) == ("2024-01-02 10:00:00", "x", "2.5")


def test_the_first_sheet_that_is_seen_is_read_and_told(tmp_path, book):
    _, file = prepared(tmp_path, book)
    assert (file.rows, file.columns[0]) == (3, "n")
    assert file.told == "read the sheet 'Facts', not 'Hidden', 'Wide'; say which with 'sheet'"


@pytest.mark.parametrize("options", [{"range": "B3:B5"}, {"header": 3}])
def test_a_table_anywhere_in_a_sheet_is_found_by_range_or_header(tmp_path, book, options):
    assert read(tmp_path, book, sheet="Wide", **options) == [{"a": "1"}, {"a": "2"}]
    assert read(tmp_path, book, sheet=3, range="B3:B4") == [{"a": "1"}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sheet": "Fact"}, "Did you mean 'Facts'"),
        ({"sheet": 9}, "no sheet 9, only 3"),
        ({"sheet": "Facts", "header": 2}, "columns of the same name: '1'"),
    ],
)
def test_a_sheet_that_is_not_there_is_refused_with_those_that_are(tmp_path, book, options, message):
    with pytest.raises(FormatError, match=message):
        prepared(tmp_path, book, **options)


def test_what_is_no_workbook_or_would_not_fit_is_refused_by_name(tmp_path, book):
    protected = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le") + b"\0" * 600
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/workbook.xml", "w") as member:
        for _ in range(600):
            member.write(b"\0" * (1 << 20))
    for data, message in (
        (book[: len(book) // 2], "truncated or damaged"),
        (b"a,b\n1,2\n", "not a spreadsheet"),
        (protected, "protected by a password"),
        (bomb.getvalue(), "600 MiB unpacked, more than 512"),
    ):
        with pytest.raises(FormatError, match=message):
            prepared(tmp_path, data)


def ods(*cells):
    """A spreadsheet of one column, as the standard has it."""
    names = {name: f"urn:oasis:names:tc:opendocument:xmlns:{name}:1.0" for name in ("office", "table", "text")}
    rows = "".join(f"<table:table-row>{cell}</table:table-row>" for cell in cells)
    spaces = " ".join(f'xmlns:{name}="{uri}"' for name, uri in names.items())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr(
            "content.xml",
            f"<office:document-content {spaces}><office:body><office:spreadsheet><table:table table:name='Facts'>{rows}"
            "</table:table></office:spreadsheet></office:body></office:document-content>",
        )
    return buffer.getvalue()


LOOKALIKES = ["2024-01-01 00:00:00", "1899-12-31 10:00:00", "1.50", "1e5", "true", "PT10H", " x "]


def test_a_text_stays_as_it_stands_and_a_number_is_exact_beside_dates(tmp_path):
    buffer = io.BytesIO()
    numbers = (-1e-300, 1e300, 0.1, 1e22, 5, 123456789012345)
    with xlsxwriter.Workbook(buffer) as made:
        sheet = made.add_worksheet()
        day, clock, hours = (made.add_format({"num_format": form}) for form in ("yyyy-mm-dd", "hh:mm:ss", "[h]:mm:ss"))
        sheet.write_string(0, 0, "x")
        for row, text in enumerate(LOOKALIKES, 1):
            sheet.write_string(row, 0, text)
        for row, number in enumerate(numbers, 8):
            sheet.write_number(row, 0, number)
        sheet.write_datetime(14, 0, dt.date(2024, 1, 31), day)
        sheet.write_datetime(15, 0, dt.time(10, 11, 12), clock)
        sheet.write_datetime(16, 0, dt.timedelta(hours=30, seconds=5), hours)
    cells = [row["x"] for row in read(tmp_path, buffer.getvalue())]
    assert cells[:7] == LOOKALIKES
    assert [float(cell) for cell in cells[7:13]] == list(numbers)
    assert cells[11:] == ["5", "123456789012345", "2024-01-31", "10:11:12", "30:00:05"]


def test_an_ods_file_is_read_with_the_values_of_its_cells_not_what_it_shows(tmp_path):
    def cell(kind, **value):
        (name, text) = next(iter(value.items()))
        name = f"{name}-value" if name != "value" else name
        return (
            f"<table:table-cell office:value-type='{kind}' office:{name}='{text}'><text:p>?</text:p></table:table-cell>"
        )

    texts = ["x", *LOOKALIKES]
    values = [
        cell("float", value="-1e-300"),
        cell("percentage", value="0.125"),
        cell("date", date="2024-01-31"),
        cell("date", date="2024-01-31T10:11:12"),
        cell("time", time="PT30H01M02S"),
        cell("boolean", boolean="false"),
    ]
    strings = [f"<table:table-cell office:value-type='string'><text:p>{t}</text:p></table:table-cell>" for t in texts]
    rows = [row["x"] for row in read(tmp_path, ods(*strings, *values))]
    assert rows == [*LOOKALIKES, "-1e-300", "0.125", "2024-01-31", "2024-01-31T10:11:12", "30:01:02", "false"]


def test_a_workbook_whose_list_of_members_lies_about_their_size_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("lakehouse.formats.excel_format._LARGEST", 4 << 20)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"\0" * (9 << 20))
    lie = buffer.getvalue().replace((9 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    with pytest.raises(FormatError, match="MiB unpacked, more than 4"):
        prepared(tmp_path, lie)


def test_without_the_extra_its_name_is_told(tmp_path, book, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    with pytest.raises(ConfigError, match=r"pip install 'lakehouse\[excel\]'"):
        prepared(tmp_path, book)
