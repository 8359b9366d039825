"""The http source against a real server: what lands, what is refused, and what is never asked."""

# ruff: noqa: F811  # a fixture's name is its argument's

import contextlib
import shutil
import socket
import ssl
import subprocess
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from web import BODY, server  # noqa: F401  # a fixture

from lakehouse.errors import SourceError
from lakehouse.formats import FORMATS
from lakehouse.records import Sighting
from lakehouse.sources.http import HttpSource, safe_name
from lakehouse.sources.http.network import is_public

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def source(url, **fields):
    fields = {"allow_private": True, "timeout": "2s", **fields}
    return HttpSource(type="http", format=FORMATS["csv"](type="csv"), url=url, **fields)


def offer(url, mark=None, **fields):
    made = source(url, **fields)
    [one] = made.offers({}, NOW)
    if mark is None:
        return one
    seen = Sighting("s", one.origin, 1, mark, "0" * 64, NOW)
    [one] = made.offers({one.origin: seen}, NOW)
    return one


def fetch(one):
    with one.open() as download:
        return None if download is None else b"".join(download.chunks)


def refused(one):
    with pytest.raises(SourceError) as caught:
        fetch(one)
    return caught.value


def redirect(location, status=302):
    return lambda handler: handler.give(status, Location=location)


def test_the_bytes_are_the_servers_bytes(server):
    with offer(server.url()).open() as download:
        assert download.size == len(BODY)
        assert b"".join(download.chunks) == BODY
    assert server.requests[0][1]["Accept-Encoding"] == "identity"


def test_an_empty_body_is_a_file(server):
    server.answers["/data.csv"] = lambda h: h.give(200)
    assert fetch(offer(server.url())) == b""


def test_an_encoded_body_is_kept_encoded(server):
    server.answers["/data.csv"] = lambda h: h.give(200, b"\x1f\x8bnot really", Content_Encoding="gzip")
    assert fetch(offer(server.url())) == b"\x1f\x8bnot really"


@pytest.mark.parametrize("length", [None, "3"])
def test_a_chunked_body_has_no_size_and_arrives_whole(server, length):
    def chunked(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        if length:
            handler.send_header("Content-Length", length)
        handler.end_headers()
        handler.wfile.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    server.answers["/data.csv"] = chunked
    with offer(server.url()).open() as download:
        assert download.size is None
        assert b"".join(download.chunks) == b"abcde"


@pytest.mark.parametrize(
    ("head", "body"), [("Content-Length: 100", b"only this"), ("Transfer-Encoding: chunked", b"9\r\nonly this\r\n")]
)
def test_a_body_cut_short_is_refused_and_may_be_tried_again(server, head, body):
    def cut(handler):
        handler.wfile.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + body)
        handler.close_connection = True

    server.answers["/data.csv"] = cut
    error = refused(offer(server.url()))
    assert error.retryable
    assert "was cut off after 9 bytes" in str(error)


def test_a_server_that_hangs_up_may_be_tried_again(server):
    server.answers["/data.csv"] = lambda h: h.connection.shutdown(socket.SHUT_RDWR)
    assert refused(offer(server.url())).retryable


def test_what_is_not_http_may_be_tried_again(server):
    server.answers["/data.csv"] = lambda h: h.wfile.write(b"hello?\r\n\r\n")
    assert refused(offer(server.url())).retryable


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_a_busy_server_may_be_tried_again(server, status):
    server.answers["/data.csv"] = lambda h: h.give(status)
    error = refused(offer(server.url()))
    assert error.retryable
    assert f"answered {status}" in str(error)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 204, 206, 300])
def test_another_status_is_final(server, status):
    server.answers["/data.csv"] = lambda h: h.give(status)
    assert not refused(offer(server.url())).retryable


def test_an_etag_is_kept_and_asked_with(server):
    def conditional(handler):
        if handler.headers.get("If-None-Match") == '"v1"':
            handler.send_response(304)
            handler.end_headers()
        else:
            handler.give(200, b"x", ETag='"v1"', Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT")

    server.answers["/data.csv"] = conditional
    with offer(server.url()).open() as download:
        assert download.modified == 'etag:"v1"'
    assert fetch(offer(server.url(), mark='etag:"v1"')) is None
    assert fetch(offer(server.url(), mark='etag:"v0"')) == b"x"


def test_without_an_etag_the_date_is_asked_with(server):
    date = "Mon, 01 Jan 2024 00:00:00 GMT"
    server.answers["/data.csv"] = lambda h: h.give(200, b"x", Last_Modified=date)
    with offer(server.url()).open() as download:
        assert download.modified == f"last-modified:{date}"
    fetch(offer(server.url(), mark=f"last-modified:{date}"))
    assert server.requests[-1][1]["If-Modified-Since"] == date


def test_nothing_changed_without_having_asked_is_an_error(server):
    server.answers["/data.csv"] = lambda h: h.give(304)
    assert "304" in str(refused(offer(server.url())))


def test_redirects_are_followed(server):
    server.answers |= {"/a": redirect("/b", 301), "/b": redirect(server.url("/c"), 307)}
    assert fetch(offer(server.url("/a"))) == BODY
    assert [path for path, _ in server.requests] == ["/a", "/b", "/c"]


def test_an_address_may_hold_any_letter(server):
    server.answers["/a"] = redirect("/fl\xfcge.csv")
    assert fetch(offer(server.url("/a"))) == BODY
    assert fetch(offer(server.url("/gr\xfc\xdfe.csv"))) == BODY
    assert [path for path, _ in server.requests] == ["/a", "/fl%C3%BCge.csv", "/gr%C3%BC%C3%9Fe.csv"]


def test_more_than_five_redirects_are_refused(server):
    server.answers["/a"] = redirect("/a")
    error = refused(offer(server.url("/a")))
    assert "more than 5" in str(error)
    assert len(server.requests) == 6


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x", "http://[", "data:,x"])
def test_a_redirect_to_anything_but_http_is_refused(server, location):
    server.answers["/a"] = redirect(location)
    error = refused(offer(server.url("/a")))
    assert "not an http(s) address" in str(error)
    assert not error.retryable


def test_a_secret_of_a_refused_redirect_is_not_shown(server):
    server.answers["/a"] = redirect("ftp://me:hunter22@x.example/y?signature=s1gned")
    told = str(refused(offer(server.url("/a"))))
    assert "ftp://x.example/y" in told
    assert "hunter22" not in told
    assert "s1gned" not in told


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "169.254.169.254",
        "10.0.0.1",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
    ],
)
def test_an_inside_address_is_never_asked_unless_allowed(server, host):
    start = time.monotonic()
    error = refused(offer(server.url(host=host), allow_private=False))
    assert "allow_private" in str(error)
    assert not error.retryable
    assert server.requests == []
    assert time.monotonic() - start < 1


def test_a_redirect_to_an_inside_address_is_never_asked(server, monkeypatch):
    resolve = socket.getaddrinfo

    def outside(host, port, *rest, **kind):
        if host == "outside.example":
            return [(2, 1, 6, "", ("93.184.216.34", port))]
        return resolve(host, port, *rest, **kind)

    create = socket.create_connection
    monkeypatch.setattr(socket, "getaddrinfo", outside)
    monkeypatch.setattr(
        socket,
        "create_connection",
        lambda address, *rest, **named: create(
            (("127.0.0.1" if address[0] == "93.184.216.34" else address[0]), address[1]), *rest, **named
        ),
    )
    server.answers["/a"] = redirect(server.url("/secret"))
    error = refused(offer(server.url("/a", host="outside.example"), allow_private=False))
    assert "127.0.0.1, which is not a public address" in str(error)
    assert [path for path, _ in server.requests] == ["/a"]


def test_the_connection_goes_to_the_address_that_was_checked(server, monkeypatch):
    answers = iter([[(2, 1, 6, "", ("93.184.216.34", 80))], [(2, 1, 6, "", ("127.0.0.1", 80))]])
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: next(answers))

    def connect(address, *_, **__):
        asked.append(address[0])
        raise OSError("no way out")

    monkeypatch.setattr(socket, "create_connection", connect)
    assert refused(offer(server.url(host="rebinding.example"), allow_private=False)).retryable
    assert asked == ["93.184.216.34"]


def test_one_inside_address_among_many_is_enough_to_refuse(server, monkeypatch):
    both = [(2, 1, 6, "", ("93.184.216.34", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    assert "10.0.0.1" in str(refused(offer(server.url(host="both.example"), allow_private=False)))


INSIDE = """
    127.0.0.1 10.1.2.3 192.168.0.1 172.16.0.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255
    ::1 :: fe80::1 fe80::1%eth0 fc00::1 ff02::1 ::ffff:10.0.0.1 64:ff9b::7f00:1 2002:7f00:1:: fd00:ec2::254
"""


@pytest.mark.parametrize("address", INSIDE.split())
def test_inside_addresses_are_known(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_outside_addresses_are_known(address):
    assert is_public(address)


def test_headers_stay_with_the_host_they_are_for(server):
    server.answers["/a"] = redirect(server.url("/b", host="localhost"))
    made = offer(server.url("/a").replace("//", "//me:pa%20ss@"), headers={"X-Key": "topsecret"})
    assert fetch(made) == BODY
    own, other = (headers for _, headers in server.requests)
    assert own["X-Key"] == "topsecret"
    assert own["Authorization"] == "Basic bWU6cGEgc3M="
    assert "X-Key" not in other
    assert "Authorization" not in other


def test_a_password_in_the_address_is_never_shown(server):
    server.answers["/a"] = lambda h: h.give(403)
    made = offer(server.url("/a").replace("//", "//me:hunter22@"))
    assert "hunter22" not in made.origin
    assert "hunter22" not in str(refused(made))


def test_a_secret_in_the_query_is_shown_as_stars_and_sent_as_it_is(server):
    made = source(server.url("/a?key=hunter22"))
    [one] = made.within(".", lambda text: text.replace("hunter22", "***")).offers({}, NOW)
    assert one.origin.endswith("/a?key=***")
    assert fetch(one) == BODY
    assert server.requests[0][0] == "/a?key=hunter22"
    server.answers["/a"] = lambda h: h.give(404)
    assert "hunter22" not in str(refused(one))


def test_cookies_and_proxies_are_not_used(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.answers["/a"] = lambda h: h.give(302, Location="/b", Set_Cookie="a=1")
    assert fetch(offer(server.url("/a"))) == BODY
    assert "Cookie" not in server.requests[1][1]


@pytest.mark.parametrize("size", ["7KB", 10])
def test_a_body_larger_than_allowed_is_refused(server, size):
    error = refused(offer(server.url(), max_size=size))
    assert "max_size" in str(error)
    assert not error.retryable


def test_an_unannounced_body_larger_than_allowed_is_refused(server):
    def endless(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(b"400\r\n" + b"x" * 1024 + b"\r\n")

    server.answers["/data.csv"] = endless
    assert "max_size" in str(refused(offer(server.url(), max_size="100KB")))


def test_a_silent_server_is_left_after_the_timeout(server):
    server.answers["/data.csv"] = lambda _: time.sleep(1)
    error = refused(offer(server.url(), timeout="100ms"))
    assert error.retryable
    assert "no answer in time" in str(error)


def drip(head, part):
    def answer(handler):
        handler.wfile.write(head)
        with contextlib.suppress(OSError):
            for _ in range(40):
                handler.wfile.write(part)
                time.sleep(0.05)

    return answer


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_dripping_server_is_left_at_the_deadline(server, head):
    server.answers["/data.csv"] = drip(head, b"x")
    start = time.monotonic()
    assert refused(offer(server.url(), timeout="1s", deadline="300ms")).retryable
    assert time.monotonic() - start < 1


def test_a_closed_port_and_an_unknown_name_may_be_tried_again():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert refused(offer(f"http://127.0.0.1:{port}/x")).retryable
    assert refused(offer("http://nowhere.invalid/x")).retryable


@pytest.fixture
def tls(server, tmp_path):
    """The certificate of a server that speaks TLS as ``localhost``."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("needs the openssl program to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = [program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return certificate


def test_tls_proves_the_name_though_the_connection_goes_to_an_address(server, tls, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tls))
    port = server.server_address[1]
    assert fetch(offer(f"https://localhost:{port}/x")) == BODY
    error = refused(offer(f"https://127.0.0.1:{port}/x"))
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert not error.retryable


def test_a_certificate_nobody_vouches_for_is_refused_for_good(server, tls, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert tls.exists()
    assert not refused(offer(f"https://localhost:{server.server_address[1]}/x")).retryable


def test_a_tls_address_that_speaks_no_tls_is_refused(server):
    assert isinstance(refused(offer(server.url().replace("http:", "https:"))), SourceError)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="flights 2013.csv"', "flights 2013.csv"),
        ("attachment; filename=flights.csv", "flights.csv"),
        ("attachment; filename*=UTF-8''fl%C3%BCge.csv; filename=x.csv", "flüge.csv"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="..\\\\..\\\\evil.csv"', "evil.csv"),
        ("attachment; filename*=UTF-8''..%2F..%2Fevil.csv", "evil.csv"),
        ('attachment; filename=".."', "download"),
        ('attachment; filename=""', "download"),
        ("inline", "data.csv"),
    ],
)
def test_the_name_is_the_servers_or_the_addresss(server, header, name):
    server.answers["/data.csv"] = lambda h: h.give(200, b"x", Content_Disposition=header)
    one = offer(server.url("/data.csv?x=1/2"))
    assert one.name == "data.csv"
    fetch(one)
    assert one.name == name


@pytest.mark.parametrize(
    ("path", "name"),
    [("/", "download"), ("", "download"), ("/a/b/", "b"), ("/a%2Fb.csv", "b.csv"), ("/..", "download")],
)
def test_the_name_of_an_address_is_its_last_part(path, name):
    assert offer(f"http://x.example{path}").name == name


@given(st.text(max_size=400))
def test_a_name_is_always_one_short_safe_name(text):
    name = safe_name(text)
    assert name
    assert name not in (".", "..")
    assert len(name.encode()) <= 255
    assert not set(name) & set("/\\\0\n\r")


def test_a_long_name_keeps_its_ending():
    assert safe_name("ü" * 300 + ".csv.gz").endswith(".gz")


def test_many_addresses_are_offered_in_order_once():
    made = source("http://a.example/1", urls=["http://a.example/2", "http://a.example/1"])
    assert [one.origin for one in made.offers({}, NOW)] == ["http://a.example/1", "http://a.example/2"]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://x/y",
        "//x/y",
        "x",
        "",
        "http://",
        "http://a b/",
        "http://x\n/",
        "http://x:99999/",
        None,
    ],
)
def test_what_is_no_http_address_is_refused(url):
    with pytest.raises(ValidationError):
        source(url)


@pytest.mark.parametrize(
    "headers", [{"Host": "x"}, {"A b": "x"}, {"X": "a\r\nB: c"}, {"If-None-Match": "x"}, {"X": "ü"}, {"X": " x"}]
)
def test_headers_that_would_change_the_request_are_refused(headers):
    with pytest.raises(ValidationError) as caught:
        source("http://x.example/", headers=headers)
    assert "B: c" not in str(caught.value)
