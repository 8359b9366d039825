"""Downloads that are cut, busy servers, checksums: through the front door, against a server that misbehaves."""

# ruff: noqa: F811  # a fixture's name is its argument's

import hashlib
import json
import re
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web import in_turn, server  # noqa: F401  # a fixture

from lakehouse.sources.http.asking import retry_after
from lakehouse.sources.http.checksums import find

BODY = b"a,b\n" + b"1,2\n" * 100_000
SHA256 = hashlib.sha256(BODY).hexdigest()
TAG = '"v1"'


@pytest.fixture
def land(project, server):
    """Land /data.csv with more fields of its source; what came of it."""

    def landed(*lines, url="/data.csv"):
        fields = "\n".join(
            ["type: http", "format: csv", "allow_private: true", "timeout: 2s", f"url: {server.url(url)}"]
        )
        project.configure("sources/flights", "\n".join([fields, *lines]))
        with project.lake() as lake:
            return lake.land("flights")

    return landed


def raw(project):
    """The raw files' bytes by hash of their folder."""
    found = {}
    for manifest in (project.folder / "data/raw").rglob("manifest.json"):
        [file] = [one for one in manifest.parent.iterdir() if one != manifest]
        found[manifest.parent.name] = file.read_bytes()
    return found


def facts(project):
    [manifest] = (project.folder / "data/raw").rglob("manifest.json")
    return json.loads(manifest.read_text("utf-8"))["facts"]


def cutting(after, *, ranged=None, **headers):
    """Hangs up after some bytes of every whole answer; a part is given by ``ranged``, or as it should be."""
    headers = {"ETag": TAG, **headers}

    def answer(handler):
        asked = handler.headers.get("Range")
        if asked is None:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(BODY)))
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(BODY[:after])
            handler.close_connection = True
        elif ranged:
            ranged(handler, int(asked[6:-1]))
        else:
            part(handler, int(asked[6:-1]), **headers)

    return answer


def part(handler, start, end=None, total=None, told=None, **headers):
    end = end or len(BODY)
    content = told or f"bytes {start}-{end - 1}/{total or len(BODY)}"
    handler.give(206, BODY[start:end], Content_Range=content, **{"ETag": TAG, **headers})


def test_a_cut_download_goes_on_where_it_was_cut(land, project, server):
    server.answers["/data.csv"] = cutting(150_000)
    landed = land()
    assert (landed.new, landed.failed) == (1, 0)
    assert raw(project) == {SHA256: BODY}
    assert [headers.get("Range") for _, headers in server.requests] == [None, "bytes=150000-"]
    assert server.requests[1][1]["If-Range"] == TAG
    assert facts(project)["resumed"] == 1


def test_a_date_names_the_bytes_where_there_is_no_strong_tag(land, project, server):
    date = "Mon, 01 Jan 2024 00:00:00 GMT"
    server.answers["/data.csv"] = cutting(9, ETag="", Last_Modified=date)
    land()
    assert raw(project) == {SHA256: BODY}
    assert server.requests[1][1]["If-Range"] == date


@pytest.mark.parametrize("headers", [{"ETag": ""}, {"ETag": 'W/"v1"'}])
def test_without_a_sure_name_of_the_bytes_it_begins_anew(land, project, server, headers):
    server.answers["/data.csv"] = in_turn(cutting(9, **headers), lambda h: h.give(200, BODY, **headers))
    assert land().new == 1
    assert raw(project) == {SHA256: BODY}
    assert [headers.get("Range") for _, headers in server.requests] == [None, None]


def test_a_part_may_be_shorter_than_asked_for(land, project, server):
    server.answers["/data.csv"] = cutting(100, ranged=lambda h, at: part(h, at, min(at + 200_000, len(BODY))))
    assert land("attempts: 5").new == 1
    assert raw(project) == {SHA256: BODY}
    parts = [None, "bytes=100-", "bytes=200100-", "bytes=400100-"]
    assert [headers.get("Range") for _, headers in server.requests] == parts[: len(server.requests)]
    assert len(server.requests) == 3


def test_a_server_without_parts_is_read_from_the_beginning_without_another_request(land, project, server):
    server.answers["/data.csv"] = cutting(150_000, ranged=lambda h, _: h.give(200, BODY, ETag=TAG))
    assert land().new == 1
    assert raw(project) == {SHA256: BODY}
    assert len(server.requests) == 2


NEW = b"x,y\n" * 100_003
WRONG = {
    "another file": lambda h, _: h.give(200, NEW, ETag='"v2"'),
    "another tag": lambda h, at: part(h, at, ETag='"v2"'),
    "another start": lambda h, at: part(h, at - 4),
    "another total": lambda h, at: part(h, at, total=len(BODY) + 7),
    "no total": lambda h, at: part(h, at, told=f"bytes {at}-{len(BODY) - 1}/*"),
    "an end beyond the total": lambda h, at: part(h, at, told=f"bytes {at}-{len(BODY)}/{len(BODY)}"),
    "nonsense": lambda h, at: part(h, at, told="bytes all"),
    "packed": lambda h, at: part(h, at, Content_Encoding="gzip"),
    "nothing there": lambda h, _: h.give(416),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_the_rest_of_the_same_file_is_not_taken_for_it(land, project, server, what):
    server.answers["/data.csv"] = in_turn(
        cutting(150_000), lambda h: WRONG[what](h, 150_000), lambda h: h.give(200, NEW, ETag='"v2"')
    )
    assert land().new == 1
    assert list(raw(project).values()) == [NEW]


def test_cuts_count_as_attempts(land, project, server):
    server.answers["/data.csv"] = cutting(10, ranged=lambda h, _: h.connection.shutdown(socket.SHUT_RDWR))
    landed = land("attempts: 3")
    assert landed.failed == 1
    assert len(server.requests) == 3
    assert raw(project) == {}


def test_a_failure_while_going_on_is_tried_again_with_what_came(land, project, server):
    server.answers["/data.csv"] = in_turn(cutting(1000), lambda h: h.give(500), cutting(1000))
    assert land().new == 1
    assert raw(project) == {SHA256: BODY}
    assert server.requests[2][1]["Range"] == "bytes=1000-"


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_waited_for_as_it_asks(land, server, status):
    server.answers["/data.csv"] = in_turn(lambda h: h.give(status, Retry_After="0"), lambda h: h.give(200, BODY))
    landed = land("attempts: 2")
    assert (landed.new, len(server.requests)) == (1, 2)


@pytest.mark.parametrize("moment", [False, True])
def test_a_wait_that_is_too_long_is_told_and_the_host_is_left_alone(land, server, moment):
    def busy(handler):
        later = format_datetime(datetime.now(UTC) + timedelta(hours=1, seconds=2), usegmt=True)
        handler.give(429, Retry_After=later if moment else "3600")

    server.answers["/data.csv"] = busy
    landed = land(f"urls: ['{server.url('/other.csv')}']")
    assert landed.failed == 2
    assert re.search(r"answered 429 Too Many Requests and asks to come back in 1h([12]s)?,", landed.notes[0].message)
    assert "max_wait" in landed.notes[0].message
    assert server.asked() == ["/data.csv"]


def test_a_server_that_is_always_busy_is_left_after_the_attempts(land, server):
    server.answers["/data.csv"] = lambda h: h.give(503, Retry_After="0")
    assert land("attempts: 4").failed == 1
    assert len(server.requests) == 4


def test_500_and_then_fine_is_fine(land, server):
    server.answers["/data.csv"] = in_turn(lambda h: h.give(500), lambda h: h.give(200, BODY))
    assert land().new == 1


def test_bytes_beyond_the_announced_length_do_not_reach_the_next_file(land, project, server):
    def more(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "4")
        handler.end_headers()
        handler.wfile.write(b"a,b\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad")

    server.answers |= {"/data.csv": more, "/other.csv": lambda h: h.give(200, BODY)}
    landed = land(f"urls: ['{server.url('/other.csv')}']")
    assert landed.new == 2
    assert sorted(raw(project).values(), key=len) == [b"a,b\n", BODY]


def test_endless_headers_are_refused(land, server):
    server.answers["/data.csv"] = lambda h: [h.wfile.write(b"HTTP/1.1 200 OK\r\n"), h.wfile.write(b"X: y\r\n" * 50_000)]
    assert land("attempts: 1").failed == 1


def test_requests_keep_to_the_rate(land, server):
    begun = time.monotonic()
    assert land("rate: 10/s", f"urls: ['{server.url('/b')}', '{server.url('/c')}']").failed == 0
    assert time.monotonic() - begun >= 0.2


@pytest.mark.parametrize(
    ("lines", "sent"),
    [
        ("auth: {bearer: t0ken-of-me}", "Bearer t0ken-of-me"),
        ("auth: {basic: {user: me, password: 'pa ss'}}", "Basic bWU6cGEgc3M="),
    ],
)
def test_who_asks_is_told_to_the_host_alone(land, project, server, lines, sent):
    server.answers["/data.csv"] = lambda h: h.give(302, Location=server.url("/b?signature=xyz", host="localhost"))
    assert land(lines).new == 1
    own, other = (headers.get("Authorization") for _, headers in server.requests)
    assert (own, other) == (sent, None)
    assert facts(project)["url"] == server.url("/b", host="localhost")


def test_the_manifest_says_who_gave_what(land, project, server):
    server.answers["/data.csv"] = lambda h: h.give(200, BODY, Content_Type="text/csv", ETag=TAG)
    land()
    url = server.url("/data.csv")
    assert facts(project) == {"url": url, "status": 200, "content_type": "text/csv", "etag": TAG}


def test_a_file_that_matches_its_checksum_file_is_landed(land, project, server):
    server.answers |= {
        "/data.csv": lambda h: h.give(200, BODY),
        "/data.csv.sha256": lambda h: h.give(200, f"{SHA256}  data.csv\n".encode()),
    }
    assert land('checksum: {url: "{url}.sha256"}').new == 1
    by = server.url("/data.csv.sha256")
    assert facts(project)["checksum"] == {"verified": f"sha256 {SHA256}", "by": by}


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "sha1", "md5"])
def test_a_file_that_matches_the_configured_checksum_is_landed(land, server, algorithm):
    server.answers["/data.csv"] = cutting(1000)
    assert land(f"checksum: {{{algorithm}: {hashlib.new(algorithm, BODY).hexdigest()}}}").new == 1


def test_a_file_that_does_not_match_is_tried_again_and_never_landed(land, project, server):
    server.answers["/data.csv"] = lambda h: h.give(200, BODY + b"3,4\n")
    landed = land(f"checksum: {{sha256: {SHA256}}}", "attempts: 2")
    assert (landed.failed, len(server.requests), raw(project)) == (1, 2, {})
    assert f"the checksum does not match: sha256 {SHA256} was expected" in landed.notes[0].message


@pytest.mark.parametrize(
    ("given_text", "told"),
    [
        (None, "answered 404"),
        ("<html>", "holds no checksum"),
        (f"{SHA256}  a\n{SHA256}  b", "has no line for 'data.csv'"),
    ],
)
def test_a_checksum_file_that_says_nothing_is_an_error(land, project, server, given_text, told):
    text = given_text
    server.answers["/sums"] = (lambda h: h.give(404)) if text is None else lambda h: h.give(200, text.encode())
    landed = land(f'checksum: {{url: "{server.url("/sums")}"}}')
    assert landed.failed == 1
    assert told in landed.notes[0].message
    assert raw(project) == {}


NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="/\\()?#%*:{}"), min_size=1
)
NAMES = NAMES.filter(lambda name: name.strip() == name and name not in (".", "..") and name.isprintable())


@given(NAMES, st.sampled_from(["sha256", "sha512", "sha1", "md5"]), st.booleans(), st.lists(NAMES, max_size=3))
def test_every_common_form_of_a_checksum_file_is_read(name, algorithm, upper, others):
    value = hashlib.new(algorithm, name.encode()).hexdigest()
    shown = value.upper() if upper else value
    wrong = hashlib.new(algorithm, b"another").hexdigest()
    rest = "".join(f"{wrong}  dir/{other}\n" for other in others if other != name)
    for line in (
        f"{shown}  {name}",
        f"{shown} *./{name}",
        f"{algorithm.upper()} ({name}) = {shown}",
        f"{algorithm.upper()}({name})= {shown}",
    ):
        found = find(f"# made today\n{rest}{line}\r\n{rest}", f"https://x.example/dir/{name}?v=1")
        assert (found.algorithm, found.value) == (algorithm, value)
    assert find(f"{shown}\n", "https://x.example/whatever").value == value


def test_of_lines_with_the_same_name_the_path_decides():
    other = hashlib.sha256(b"").hexdigest()
    text = f"{other}  old/data.csv\n{SHA256}  ./new/data.csv\n"
    assert find(text, "https://x.example/new/data.csv").value == SHA256
    with pytest.raises(ValueError, match="2 checksums that could be"):
        find(text, "https://x.example/other/data.csv")


def test_of_several_algorithms_the_strongest_counts():
    strong = hashlib.sha512(BODY).hexdigest()
    text = f"SHA2-256(data.csv)= {SHA256}\nSHA2-512(data.csv)= {strong}\n"
    assert find(text, "https://x.example/data.csv").algorithm == "sha512"


@given(st.integers(0, 10**9))
def test_a_wait_is_seconds_or_a_moment(seconds):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after(str(seconds)) == seconds
    moment = format_datetime(now + timedelta(seconds=seconds), usegmt=True)
    assert retry_after(moment, format_datetime(now, usegmt=True)) == seconds


@given(st.text())
def test_what_is_no_wait_is_none(text):
    wait = retry_after(text)
    assert wait is None or wait >= 0
