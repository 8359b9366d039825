"""Series of pages: every way of going on, where they end, and what happens when one fails."""

# ruff: noqa: F811  # a fixture's name is its argument's

import gzip
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from web import server  # noqa: F401  # a fixture

from lakehouse.errors import ConfigError
from lakehouse.sources.http.addresses import with_query
from lakehouse.sources.http.pages import Pages

DATASET = """
    source: api
    schema: {features: {id: {type: int}}}
"""


class Api:
    """A list of items, served in as many ways as there are."""

    def __init__(self, server):
        self.server = server
        self.items = list(range(25))
        self.size = 10
        self.link = lambda following: f'<{following}>; rel="next", </x?a,b>; rel="last"'

    def part(self, start, **more):
        """Some items as a body."""
        return json.dumps({"data": [{"id": one} for one in self.items[start : start + self.size]], **more}).encode()

    def query(self, handler, name, default=0):
        """A number in the query of a request."""
        return int(parse_qs(urlsplit(handler.path).query).get(name, [default])[0])

    def by_link(self, handler):
        """The next page in a header."""
        start = self.query(handler, "from")
        following = start + self.size
        headers = {"Link": self.link(f"/items?from={following}")} if following < len(self.items) else {}
        handler.give(200, self.part(start), **headers)

    def by_cursor(self, handler):
        """The next cursor in the body."""
        start = self.query(handler, "cursor")
        following = start + self.size
        handler.give(200, self.part(start, meta={"next": following if following < len(self.items) else None}))

    def by_url(self, handler):
        """The next address in the body."""
        start = self.query(handler, "from")
        following = start + self.size
        url = self.server.url(f"/items?from={following}") if following < len(self.items) else ""
        handler.give(200, self.part(start, next=url))

    def by_offset(self, handler):
        """From an offset on."""
        handler.give(200, self.part(self.query(handler, "skip")))

    def by_page(self, handler):
        """By number."""
        handler.give(200, self.part((self.query(handler, "page") - 1) * self.size))


WAYS = {
    "link": ("by_link", "{by: link}", ["/items", "/items?from=10", "/items?from=20"]),
    "cursor": (
        "by_cursor",
        "{by: cursor, at: meta.next, parameter: cursor}",
        ["/items", "/items?cursor=10", "/items?cursor=20"],
    ),
    "next_url": ("by_url", "{by: next_url, at: next}", ["/items", "/items?from=10", "/items?from=20"]),
    "offset": (
        "by_offset",
        "{by: offset, parameter: skip, size_parameter: limit, size: 1000, items: data}",
        [f"/items?limit=1000&skip={start}" for start in (0, 10, 20, 25)],  # the server gives fewer than asked for
    ),
    "page": ("by_page", "{by: page, items: data}", [f"/items?page={page}" for page in (1, 2, 3, 4)]),
}


@pytest.fixture
def api(project, server):
    made = Api(server)
    project.configure("datasets/shop/items", DATASET)
    project.configure("jobs/items", "datasets: [shop/items]")

    def source(way, *lines, url="/items", by=None):
        answer, pages, _ = WAYS[way]
        server.answers["/items"] = getattr(made, answer)
        fields = ["type: http", "format: {type: json, records: data}", "allow_private: true", "attempts: 2"]
        fields += [f"url: '{server.url(url)}'", f"pages: {by or pages}"]
        project.configure("sources/api", "\n".join([*fields, *lines]))

    def land():
        with project.lake() as lake:
            return lake.land("api")

    def ids():
        with project.lake() as lake:
            lake.curate("shop/items")
            return sorted(lake.read("shop/items")["id"].to_list())

    made.source, made.land, made.ids = source, land, ids
    return made


@pytest.mark.parametrize("way", WAYS)
def test_every_item_of_every_page_arrives_once(api, server, way):
    api.source(way)
    landed = api.land()
    assert (landed.new, landed.failed, landed.notes) == (len(WAYS[way][2]), 0, ())
    assert server.asked() == WAYS[way][2]
    assert api.ids() == list(range(25))


@pytest.mark.parametrize("way", ["link", "cursor", "offset"])  # the others go on in one of these ways
def test_a_list_that_grew_is_landed_again_without_a_row_too_many(api, way):
    api.source(way)
    api.land()
    assert api.land().new == 0
    api.items += range(25, 42)
    assert api.land().failed == 0
    assert api.ids() == list(range(42))


@pytest.mark.parametrize("way", WAYS)
def test_a_page_that_fails_stops_the_series_and_the_next_landing_goes_on(api, server, way):
    api.source(way)
    fine, broken = server.answers["/items"], WAYS[way][2][1]
    server.answers["/items"] = lambda h: h.give(500) if h.path == broken else fine(h)
    landed = api.land()
    assert (landed.new, landed.failed) == (1, 1)
    assert landed.notes[0].where.endswith("/items#page=2")
    server.answers["/items"] = fine
    landed = api.land()
    assert (landed.unchanged, landed.new, landed.failed) == (1, len(WAYS[way][2]) - 1, 0)


def test_a_list_with_new_items_in_front_loses_none_though_pages_move_on(api):
    api.source("link")
    api.land()
    assert api.ids() == list(range(25))
    api.items = [*range(100, 110), *api.items]  # page 2 has the bytes that page 1 had
    assert api.land().failed == 0
    assert api.ids() == [*range(25), *range(100, 110)]


def test_pages_whose_cursor_differs_every_time_are_the_same_pages(api):
    api.source("cursor")
    api.land()
    api.part, plain = lambda start, **more: plain(start, token=api.stamp, **more), api.part
    for api.stamp in ("first", "second"):
        landed = api.land()
        assert {note.kind for note in landed.notes} == {"changed"}
        assert api.ids() == list(range(25))


def test_a_series_that_became_shorter_is_told(api):
    api.source("link")
    api.land()
    api.items = api.items[:10]
    landed = api.land()
    [note] = [note for note in landed.notes if note.kind == "settling"]
    assert note.where.endswith("#page=2")
    assert "now ends with page 1" in note.message


def test_a_series_that_leads_back_is_an_error(api, server):
    api.source("next_url")
    server.answers["/items"] = lambda h: h.give(200, api.part(0, next="/items?x=1"))
    landed = api.land()
    assert landed.failed == 1
    assert any("leads back to a page" in note.message for note in landed.notes)
    assert len(server.requests) == 2


@pytest.mark.parametrize("way", ["offset", "page"])
def test_a_server_that_gives_the_same_page_for_ever_is_left(api, server, way):
    api.source(way)
    server.answers["/items"] = lambda h: h.give(200, api.part(0))
    landed = api.land()
    assert (landed.new, landed.failed, len(server.requests)) == (1, 1, 2)
    assert "does not know the parameter" in landed.notes[0].message


def test_more_pages_than_allowed_are_an_error_and_never_cut_silently(api, server):
    api.source("page", by="{by: page, items: data, max_pages: 2}")
    landed = api.land()
    assert (landed.new, landed.failed, len(server.requests)) == (2, 1, 2)
    assert "more pages than max_pages (2)" in landed.notes[0].message


@pytest.mark.parametrize("link", ["file:///etc/passwd", "ftp://x/", "http://["])
@pytest.mark.parametrize("way", ["link", "next_url"])
def test_a_next_page_that_is_no_http_address_is_an_error(api, server, way, link):
    api.source(way)
    server.answers["/items"] = lambda h: h.give(200, api.part(0, next=link), Link=f"<{link}>; rel=next")
    landed = api.land()
    assert (landed.new, landed.failed) == (0, 1)
    assert "this page of the series" in landed.notes[0].message


def test_another_host_is_not_told_who_asks(api, server):
    api.source("next_url", "auth: {bearer: t0ken}", "headers: {X-Key: topsecret}")
    elsewhere = server.url("/more", host="localhost")
    server.answers["/items"] = lambda h: h.give(200, api.part(0, next=elsewhere))
    server.answers["/more"] = lambda h: h.give(200, api.part(20, next=None))
    assert api.land().new == 2
    own, other = (headers for _, headers in server.requests)
    assert (own["Authorization"], own["X-Key"]) == ("Bearer t0ken", "topsecret")
    assert {"Authorization", "X-Key"} & other.keys() == set()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<html>", "cannot be read as JSON"),
        (b'{"data": [', "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b'{"data": {}}', "has no array at data"),
        (b'{"items": []}', "has no array at data"),
        (b'{"data": [' + b"1," * 60_000 + b"1]}", "is larger than pages: max_page (100,000 bytes)"),
        (gzip.compress(b'{"data": [' + b"1," * 60_000 + b"1]}", mtime=0), "is larger than max_page (100,000 bytes)"),
        (gzip.compress(b'{"data": []}', mtime=0)[:-4], "is not whole gzip"),
    ],
)
def test_a_page_that_does_not_say_where_to_go_on_is_not_landed(api, server, body, told):
    api.source("page", by="{by: page, items: data, max_page: 100KB}")
    server.answers["/items"] = lambda h: h.give(200, body)
    landed = api.land()
    assert (landed.new, landed.failed) == (0, 1)
    assert told in landed.notes[0].message


def test_a_packed_page_is_kept_packed_and_read_for_where_to_go_on(api, server):
    api.source("page")
    server.answers["/items"] = lambda h: h.give(
        200, gzip.compress(api.part((api.query(h, "page") - 1) * 10), mtime=0), Content_Encoding="gzip"
    )
    assert api.land().new == 4
    assert api.ids() == list(range(25))


def test_an_unchanged_page_is_not_sent_again_and_still_leads_on(api, server):
    api.source("cursor")
    plain = server.answers["/items"]

    def tagged(handler):
        if handler.headers.get("If-None-Match") == '"v1"':
            handler.send_response(304)
            handler.end_headers()
            return
        give = handler.give
        handler.give = lambda status, body: give(status, body, ETag='"v1"')
        plain(handler)
        handler.give = give

    server.answers["/items"] = tagged
    assert api.land().new == 3
    for _ in range(2):
        landed = api.land()
        assert (landed.unchanged, landed.failed) == (3, 0)
    assert server.asked() == 3 * WAYS["cursor"][2]


def test_each_date_is_a_series_and_asked_for_until_its_last_page_is_there(api, server, project):
    api.source("cursor", "dates: {since: 2025-12-31, until: 2025-12-31}", url="/items?on={date:%Y-%m-%d}")
    fine = server.answers["/items"]
    server.answers["/items"] = lambda h: h.give(500) if "cursor=10" in h.path else fine(h)
    project.clock.now = project.clock.now.replace(day=5)
    assert api.land().failed == 1
    server.answers["/items"] = fine
    server.asked()
    landed = api.land()
    assert (landed.unchanged, landed.new) == (1, 2)
    assert server.asked()[1] == "/items?on=2025-12-31&cursor=10"
    assert api.land().files == 0
    assert api.ids() == list(range(25))


def test_secrets_of_an_address_are_in_no_origin(api, server, project, monkeypatch):
    monkeypatch.setenv("API_KEY", "hunter22")
    api.source("next_url", url="/items?key=${API_KEY}")
    server.answers["/items"] = lambda h: h.give(
        200, api.part(0, next=None if "p=2" in h.path else "/items?key=hunter22&p=2")
    )
    assert api.land().new == 2
    for file in (project.folder / "data").rglob("*"):
        if file.is_file():
            assert b"hunter22" not in file.read_bytes() or file.name == "items", file


@pytest.mark.parametrize(
    "pages",
    [
        {"by": "cursor", "at": "x"},
        {"by": "next_url"},
        {"by": "link", "at": "x"},
        {"by": "page", "size": 3},
        {"by": "offset", "size_parameter": "limit"},
        {"by": "next_url", "at": "x", "items": "y"},
        {"by": "page", "max_pages": 0},
    ],
)
def test_keys_that_do_not_fit_together_are_refused(pages):
    with pytest.raises(ValidationError):
        Pages(**pages)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(TEXT, TEXT, st.dictionaries(TEXT, TEXT, max_size=3))
def test_a_parameter_is_set_and_the_others_stay(name, value, others):
    url = "https://x.example/items"
    for other, its in others.items():
        url = with_query(url, other, its)
    found = parse_qs(urlsplit(with_query(url, name, value)).query, keep_blank_values=True)
    assert found == {**{key: [its] for key, its in others.items()}, name: [value]}


def test_pages_cannot_feed_snapshots(api, project):
    api.source("page")
    project.change("datasets/shop/items", "source: api", "source: api\nhistory: snapshots\nkeys: [id]")
    with pytest.raises(ConfigError, match="none of them is the full picture"):
        project.lake()
