"""The page of statistics: whole in itself, safe whatever the data hold, and readable in a real browser."""

import math
import os
import re
import shutil
import socket
import subprocess
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pages import Page

from lakehouse import generate_statistics
from lakehouse.evolution import figures
from lakehouse.evolution.page import page
from lakehouse.evolution.sides import Group, Line, Side, lines
from lakehouse.schema import Action, Rule, Severity
from lakehouse.validation.anomalies import Anomalies, Anomaly, Cause, Kind

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    "</style></title><svg/onload=alert(1)>",
    "<!-- ",
    "&lt;b&gt; &amp;",
    "javascript:alert(1)",
    "\u202egnp.exe",
    "שלום",
    "👩‍👩‍👧 naïve",
    "\x00\x1b[31m\r\n\t",
    "]]>",
    "   ",
    "x" * 5000,
]
WORDS = st.sampled_from(HOSTILE) | st.text(max_size=12)
COLUMNS = st.one_of(
    st.lists(st.none() | WORDS, min_size=3, max_size=3).map(lambda values: pl.Series(values, dtype=pl.String)),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3).map(
        lambda values: pl.Series(values, dtype=pl.Int64)
    ),
    st.lists(st.none() | st.floats(), min_size=3, max_size=3).map(lambda values: pl.Series(values, dtype=pl.Float64)),
    st.lists(st.none() | st.booleans(), min_size=3, max_size=3).map(lambda v: pl.Series(v, dtype=pl.Boolean)),
    st.lists(st.none() | st.binary(max_size=4), min_size=3, max_size=3).map(lambda v: pl.Series(v, dtype=pl.Binary)),
    st.lists(st.none() | st.dates(), min_size=3, max_size=3).map(lambda v: pl.Series(v, dtype=pl.Date)),
    st.lists(st.none() | st.datetimes(), min_size=3, max_size=3).map(
        lambda values: pl.Series(values, dtype=pl.Datetime("us"))
    ),
    st.lists(st.none() | st.decimals(-999, 999, places=2), min_size=3, max_size=3).map(
        lambda values: pl.Series(values, dtype=pl.Decimal(20, 2))
    ),
    st.lists(st.none() | st.lists(WORDS, max_size=3), min_size=3, max_size=3).map(
        lambda values: pl.Series(values, dtype=pl.List(pl.String))
    ),
)
FRAMES = st.dictionaries(WORDS.filter(bool), COLUMNS, max_size=4).map(pl.DataFrame)
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def sides(*frames, personal=()):
    """Each frame as a side."""
    return [Side(f"version {n}", generate_statistics(f, personal=personal)) for n, f in enumerate(frames)]


@QUICK
@given(st.lists(FRAMES, min_size=1, max_size=3), WORDS)
def test_any_statistics_are_a_page_and_nothing_of_the_data_becomes_part_of_it(frames, title):
    shown = sides(*frames)
    read = Page(page(shown, title))  # every element, attribute and link is one of ours
    names = {name for frame in frames for name in frame.columns}
    assert read.count.get("article", 0) == len(names)
    for name in names:
        assert figures.value(name, 300) in read.text


def test_hostile_values_are_shown_and_not_run():
    frame = pl.DataFrame({"<b>name</b>": HOSTILE})
    text = page(sides(frame), "<title>")
    read = Page(text)
    assert "<script>alert(1)</script>" in read.text
    assert "<script" not in text
    assert "<b>name</b>" in read.text
    assert "\\u202egnp.exe" in read.text  # what turns the writing round is spelled out
    assert "3 blanks" in read.text
    assert "x" * 61 not in text


def test_a_page_forbids_itself_everything_but_its_own_style():
    text = page(sides(pl.DataFrame({"a": [1, 2]})), "t")
    assert "default-src 'none'; style-src 'unsafe-inline'" in text
    assert not any(sign in text for sign in ("<script", "http://", "https://", "url(", "@import", " src="))


def test_no_value_of_a_personal_feature_is_on_a_page():
    frame = pl.DataFrame({"name": ["Secretvalue"] * 3, "age": [88_123, 88_124, 88_125]})
    shown = sides(frame, frame, personal=["name", "age"])
    text = page(shown, "people")
    assert "Secretvalue" not in text
    assert "88" not in Page(text).text
    assert Page(text).text.count("personal: values are withheld") == 2


def test_sides_share_their_axes():
    (line,) = lines(sides(pl.DataFrame({"a": [0, 1, 2]}), pl.DataFrame({"a": [50, 99]})))
    shape = line.shape(20)
    assert (shape.low, shape.high) == ("0", "99")
    assert shape.edges[0] == -0.5
    assert shape.counts[0][0] == 3
    assert sum(shape.counts[1]) == 2
    assert [math.fsum(side) for side in shape.shares] == [1, 1]


def test_whole_numbers_fill_buckets_of_whole_width():
    (line,) = lines(sides(pl.DataFrame({"hour": [h for h in range(24) for _ in range(3)]})))
    shape = line.shape(10)
    assert {right - left for left, right in zip(shape.edges, shape.edges[1:], strict=False)} == {3}
    assert set(shape.counts[0]) == {9}


def test_long_tails_are_shown_with_and_without():
    (line,) = lines(sides(pl.DataFrame({"delay": [*range(1000), 10**6]})))
    middle = line.middle(10)
    assert float(middle.high) < 1000
    assert 0 < middle.outside[0] < 0.03
    text = Page(page(sides(pl.DataFrame({"delay": [*range(1000), 10**6]})), "t")).text
    assert "From the 1st to the 99th per cent" in text
    assert "All values" in text


@pytest.mark.parametrize(
    ("values", "low", "high", "bars"),
    [
        ([date(2024, 1, 1), date(2024, 1, 10)], "2024-01-01", "2024-01-10", (1, 1)),
        ([datetime(2024, 1, 1, 5, tzinfo=UTC), datetime(2024, 1, 1, 7, tzinfo=UTC)], "2024-01-01 05:00Z", None, (1, 1)),
        ([date(1, 1, 1), date(9999, 12, 31)], "0001-01-01", "9999-12-31", (1, 1)),
    ],
)
def test_dates_have_an_axis_too(values, low, high, bars):
    (line,) = lines(sides(pl.DataFrame({"at": values})))
    assert line.group is Group.MOMENTS
    shape = line.shape(10)
    assert shape.low == low
    assert high is None or shape.high == high
    assert (shape.counts[0][0], shape.counts[0][-1]) == bars


def test_very_many_moments_are_counted_by_the_day():
    start = datetime(2024, 1, 1, tzinfo=UTC)
    many = pl.DataFrame({"at": [start + timedelta(seconds=17 * n) for n in range(40_000)]})
    (line,) = lines(sides(many))
    assert not line.here[0].complete
    assert sum(line.shape(8).counts[0]) == 40_000


def test_what_was_estimated_is_marked():
    shown = sides(pl.DataFrame({"number": [n + 0.5 for n in range(20_000)]}))
    assert not shown[0].statistics.features["number"].complete
    read = Page(page(shown, "t"))
    assert re.search(r"≈ (19|20),\d{3}", read.text)
    assert re.search(r"≈ \d+,\d{3}", read.text[read.text.index("median") :])
    assert "standard error of 0.8%" in read.text
    assert "≈" not in Page(page(sides(pl.DataFrame({"number": [1.5, 2.5]})), "t")).text


def test_a_feature_that_one_side_lacks_is_said_to_be_missing_there():
    read = Page(page(sides(pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [1], "gate": ["x"]})), "t"))
    assert "gate" in read.text
    assert "not there" in read.text
    assert "only on another side" in read.text


def test_sides_of_two_types_are_no_error():
    read = Page(page(sides(pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": ["x", "2"]})), "t"))
    assert "int / string" in read.text


def test_more_sides_than_colours_have_their_figures():
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    read = Page(page(sides(*[frame] * 9), "t"))
    assert "Only the first 6 sides are drawn; the figures are of all 9." in read.text
    assert read.text.count("version 8") == 4  # the key, each feature's figures, the quantiles of one


def test_there_may_be_nothing_to_show():
    assert "There are no features" in Page(page(sides(pl.DataFrame()), "t")).text
    assert "0 rows" in Page(page(sides(pl.DataFrame({"a": []}, schema={"a": pl.Int64})), "t")).text


def test_of_many_features_each_is_told_in_short():
    frame = pl.DataFrame({f"feature {n}": [n, n + 1, None, 7 * n] for n in range(250)})
    text = page(sides(frame), "wide")
    assert Page(text).count["article"] == 250
    assert len(text) < 250 * 4_000  # a thousand are 4 MB
    assert "at most 8 values" in text


def odd(**changed):
    """Something odd."""
    found = {
        "path": "a",
        "kind": Kind.SCHEMA_NEW_COLUMN,
        "rule": Rule.NEW_COLUMN,
        "severity": Severity.ERROR,
        "action": Action.WARN,
        "short": "new column <i>",
        "description": "no feature knows it",
        "causes": tuple(Cause("f" * 64, f"{n}<x>.csv", 3, 0.5) for n in range(7)),
        "proposal": "add it",
    }
    return Anomaly(**{**found, **changed})


def test_anomalies_stand_on_top_with_the_way_to_their_feature():
    shown = sides(pl.DataFrame({"a": [1]}))
    found = Anomalies((odd(path=""), odd(), odd(severity=Severity.WARNING)), rows=1, notes=("one note",))
    read = Page(page(shown, "t", anomalies=found))
    assert read.text.index("Anomalies") < read.text.index("Overview")
    assert read.text.count("new column <i>") == 3
    assert "the dataset" in read.text
    assert "0<x>.csv (50%)" in read.text
    assert "and 2 more" in read.text
    assert "one note" in read.text
    assert "No anomalies in 1 row" in page(shown, "t", anomalies=Anomalies(rows=1))
    assert "There are no rows" in page(shown, "t", anomalies=Anomalies(data_missing=True))


# Figures


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "-"),
        (0, "0"),
        (2013, "2013"),
        (27_004, "27,004"),
        (12_345_678, "1.235e7"),
        (-0.5, "-0.5000"),
        (1234.56, "1235"),
        (123_456.78, "123,457"),
        (0.00001234, "1.234e-5"),
        (float("nan"), "NaN"),
        (float("-inf"), "-inf"),
        (Decimal("12.30"), "12.30"),
        (5e-324, "4.941e-324"),
        (1.7976931348623157e308, "1.798e308"),
    ],
)
def test_numbers_are_told_in_four_digits(number, text):
    assert figures.number(number) == text


@QUICK
@given(st.floats() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False))
def test_a_number_is_short_and_nearly_itself(number):
    said = figures.number(number)
    assert len(said) < 14
    if math.isfinite(number) and abs(float(number)) < 1e300:
        assert math.isclose(float(said.replace(",", "")), float(number), rel_tol=6e-4, abs_tol=1e-323)


@pytest.mark.parametrize(
    ("part", "text"), [(0, "0.0%"), (0.0001, "<0.1%"), (0.5, "50.0%"), (0.99999, ">99.9%"), (1, "100.0%")]
)
def test_a_share_is_not_rounded_to_nothing_or_all(part, text):
    assert figures.share(part) == text


@pytest.mark.parametrize(
    ("apart", "text"), [(None, "-"), (0.0, "0"), (0.00001, "<0.0001"), (0.25, "0.2500"), (1, "1.0000")]
)
def test_a_distance_is_not_rounded_to_nothing(apart, text):
    assert figures.distance(apart) == text


def test_a_line_of_nothing_but_missing_values_is_among_the_others():
    (line,) = lines(sides(pl.DataFrame({"a": [None, None]}, schema={"a": pl.String})))
    assert isinstance(line, Line)
    assert line.shape(10) is None
    assert line.values(10) == []


# In a browser


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Run a real browser on a page, with these options; what it wrote."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        tell = pytest.fail if os.environ.get("LAKEHOUSE_REQUIRE_SERVICES") == "1" else pytest.skip
        tell("no chromium is installed: apt-get install chromium")
    profile = tmp_path_factory.mktemp("browser")

    def run(file, *options):
        still = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
        told = subprocess.run(
            [program, "--headless", *still, f"--user-data-dir={profile}", *options, file.as_uri()],
            capture_output=True,
            check=True,
            timeout=120,
        )
        return told.stdout.decode()

    return run


@pytest.fixture
def listener():
    """A server that only counts who comes; gives its address and the count."""
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        done = threading.Event()

        def listen():
            while not done.is_set():
                try:
                    connection, address = server.accept()
                except TimeoutError:
                    continue
                connection.close()
                calls.append(address)

        thread = threading.Thread(target=listen)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", calls
        done.set()
        thread.join()


def test_a_real_browser_shows_the_page_and_asks_nobody_for_anything(browser, listener, tmp_path):
    address, calls = listener
    lures = [
        f'<img src="{address}/a">',
        f'"><script src="{address}/b"></script>',
        f"<style>@import '{address}/c'</style>",
    ]
    frame = pl.DataFrame({"text": lures, f'x"><link rel=stylesheet href={address}/d>': [1, 2, 30], "y": [1.5, 2, None]})
    file = tmp_path / "page.html"
    file.write_text(page(sides(frame, frame), "Statistics of a/b"), "utf-8")
    shown = browser(file, "--dump-dom")
    read = Page(shown)
    assert "Statistics of a/b" in read.text
    assert read.count["article"] == 3
    assert read.count["rect"] > 4
    assert lures[0] in read.text
    picture = tmp_path / "page.png"
    browser(file, f"--screenshot={picture}", "--window-size=1000,1600")
    assert picture.stat().st_size > 30_000  # an empty one has 7,000
    assert calls == []
    file.write_text(f'<img src="{address}/there">', "utf-8")  # it would have been noticed
    browser(file, "--dump-dom")
    assert calls
