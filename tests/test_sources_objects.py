"""The objects source against real S3 and Google endpoints, and one that misbehaves."""

import logging
import socketserver
import threading

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import ValidationError

from lakehouse.errors import SourceError
from lakehouse.formats import FORMATS
from lakehouse.sources import Seen
from lakehouse.sources.objects import ObjectsSource

MORNING = b"time_hour,carrier,flight,origin,dep_delay\n2013-01-01T05:00:00Z,UA,1545,EWR,2\n"
NOON = b"time_hour,carrier,flight,origin,dep_delay\n2013-01-01T12:00:00Z,B6,725,JFK,3\n"
SECRET = "secret-of-herons"


pytestmark = pytest.mark.usefixtures("ask")


@pytest.fixture(scope="module")
def endpoint():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(endpoint):
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="AK", aws_secret_access_key=SECRET
    )
    client.create_bucket(Bucket="lake")
    yield lambda key, body: client.put_object(Bucket="lake", Key=key, Body=body)
    for found in client.list_objects_v2(Bucket="lake").get("Contents", ()):
        client.delete_object(Bucket="lake", Key=found["Key"])
    client.close()


@pytest.fixture
def ask(project, endpoint, monkeypatch):
    monkeypatch.setenv("BUCKET_SECRET", SECRET)

    def configure(path="s3://lake/in/**/*.csv", at=endpoint, **fields):
        known = {"attempts": 1, "timeout": "2s", "key": "AK", "secret": '"${BUCKET_SECRET}"', **fields}
        lines = "".join(f"{name}: {value}\n" for name, value in known.items() if value is not None)
        text = f"type: objects\nformat: csv\npath: '{path}'\nendpoint: {at}\nallow_http: true\n{lines}"
        (project.folder / "configs/sources/flights.yaml").write_text(text)

    configure()
    return configure


def land(project):
    with project.lake() as lake:
        return lake.land("flights")


def raw(project):
    found = (project.folder / "data/raw/flights").glob("??/*/*")
    return {path.name: path.read_bytes() for path in found if path.name != "manifest.json"}


def test_objects_land_once_and_a_replaced_one_is_corrected(project, bucket):
    bucket("in/2013/morning.csv", MORNING)
    bucket("in/noon.csv", NOON)
    bucket("in/noon.txt", b"x")
    bucket("in/.hidden/noon.csv", b"x")
    bucket("inside/noon.csv", b"x")
    project.run()
    assert project.read().height == 2
    assert land(project).unchanged == 2
    bucket("in/noon.csv", NOON.replace(b",3\n", b",-31\n"))
    project.run()
    assert project.read()["dep_delay"].to_list() == [2, -31]


def test_no_secret_is_kept_anywhere(project, bucket):
    bucket("in/a.csv", MORNING)
    project.run()
    kept = [path for path in (project.folder / "data").rglob("*") if path.is_file()]
    assert len(kept) > 3
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]
    [manifest] = (project.folder / "data/raw").rglob("manifest.json")
    assert '"etag"' in manifest.read_text()


def test_keys_may_hold_anything_and_folder_marks_are_passed_over(project, bucket):
    keys = ["with space", "ü", "100%", "p%20q", "h#q?", "back\\slash", "*star", "[x]", 'a^b|c{d}"`']
    for key in keys:
        bucket(f"in/{key}.csv", MORNING + key.encode())
    bucket("in/folder.csv/", b"")
    bucket("in/empty.csv", b"")
    landed = land(project)
    assert (landed.new, landed.failed) == (len(keys) + 1, 0)
    assert {body for body in raw(project).values() if body} == {MORNING + key.encode() for key in keys}
    assert land(project).unchanged == len(keys) + 1


@pytest.mark.parametrize(("key", "shown"), [("in/a//b.csv", r"in/a//b\.csv"), ("in/a\tb.csv", r"in/a\\tb.* control")])
def test_a_key_that_cannot_be_listed_is_named(project, bucket, key, shown):
    bucket(key, MORNING)
    with pytest.raises(SourceError, match=shown):
        land(project)


def test_a_key_that_ends_in_a_slash_and_holds_something_is_told(project, bucket):
    bucket("in/a.csv/", MORNING)
    landed = land(project)
    assert (landed.failed, landed.new) == (1, 0)
    assert "ends in '/'" in landed.notes[-1].message


def test_an_object_replaced_between_list_and_get_is_tried_anew(project, bucket):
    bucket("in/a.csv", MORNING)
    with project.lake() as lake:
        [offer] = lake.config.sources["flights"].offers(Seen(), project.clock())
        bucket("in/a.csv", NOON)
        with pytest.raises(SourceError, match="replaced") as caught, offer.open():
            pass
        assert caught.value.retryable
        with offer.open() as download:
            assert b"".join(download.chunks) == NOON


@pytest.mark.parametrize("path", ["s3://none/*.csv", "s3://none/a.csv", "s3://lake/none.csv"])
@pytest.mark.usefixtures("bucket")
def test_a_missing_bucket_or_object_is_told(project, ask, path):
    ask(path)
    with pytest.raises(SourceError, match="there is no such"):
        land(project)


def test_the_environment_is_not_asked_unless_it_was_named(project, bucket, ask, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://nowhere.invalid")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of the machine")
    bucket("in/a.csv", MORNING)
    assert land(project).new == 1
    ask(key=None, secret=None, anonymous="true")
    assert land(project).unchanged == 1
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    ask(key=None, secret=None, use_environment="true")
    assert land(project).unchanged == 1


@pytest.mark.parametrize("kind", ["s3", "gs", "az"])
def test_no_variable_of_the_machine_turns_a_request_elsewhere(project, rude, ask, monkeypatch, kind):
    asked = []

    def answer(request):
        asked.append(request)
        listing = b"<ListBucketResult/>" if kind != "az" else b"<EnumerationResults><Blobs/></EnumerationResults>"
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(listing) + listing

    rude.answer = answer
    nobody = "http://127.0.0.1:9"
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "AWS_PROXY_URL", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, nobody)
    for name in ("AWS_S3_EXPRESS", "AWS_REQUEST_PAYER", "AWS_UNSIGNED_PAYLOAD", "AZURE_STORAGE_USE_EMULATOR"):
        monkeypatch.setenv(name, "true")
    who = {} if kind == "s3" else {"key": None, "secret": None, "token": '"${BUCKET_SECRET}"'}
    who |= {"account": "acme"} if kind == "az" else {}
    ask(f"{kind}://lake/in/*", at=f"http://127.0.0.1:{rude.server_address[1]}", **who)
    assert land(project).failed == 0
    [request] = asked
    assert request.startswith(b"GET /lake?")
    assert b"UNSIGNED" not in request
    assert b"payer" not in request


def test_a_variable_of_google_that_cannot_be_overruled_is_named(project, ask, monkeypatch):
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", "/nowhere.json")
    ask("gs://lake/in/*", key=None, secret=None, token='"${BUCKET_SECRET}"')
    with pytest.raises(SourceError, match=r"GOOGLE_SERVICE_ACCOUNT in the environment .* unset it"):
        land(project)


def test_google_buckets_speak_through_their_own_protocol(project, bucket, ask):
    bucket("in/a.csv", MORNING)
    ask("gs://lake/in/*.csv", key=None, secret=None, token='"${BUCKET_SECRET}"')
    assert land(project).new == 1
    assert land(project).unchanged == 1


class Rude(socketserver.ThreadingTCPServer):
    """Answers every request the same, whatever it is."""

    daemon_threads = True
    answer = b""


class Answer(socketserver.BaseRequestHandler):
    """One a connection."""

    def handle(self):
        """One answer, then the end."""
        asked, answer = self.request.recv(65536), self.server.answer
        self.request.sendall(answer(asked) if callable(answer) else answer)


@pytest.fixture
def rude():
    with Rude(("127.0.0.1", 0), Answer) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_many_objects_are_listed_a_page_at_a_time(project, rude, ask):
    asked = []

    def page(request):
        number = len(asked)
        asked.append(request)
        one = "<Contents><Key>in/{:05}.csv</Key><Size>1</Size><LastModified>2026-01-05T10:00:00.000Z</LastModified>"
        rows = "".join((one + "</Contents>").format(number * 1000 + row) for row in range(1000))
        more = f"<NextContinuationToken>{number}</NextContinuationToken>" if number < 9 else ""
        body = f"<ListBucketResult>{more}{rows}</ListBucketResult>".encode()
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    rude.answer = page
    ask(at=f"http://127.0.0.1:{rude.server_address[1]}")
    with project.lake() as lake:
        offers = lake.config.sources["flights"].offers(Seen(), project.clock())
        next(offers)
        assert len(asked) <= 2
        assert [offer.name for offer in offers] == [f"{number:05}.csv" for number in range(1, 10_000)]
    assert len(asked) == 10


def test_access_denied_is_told_without_what_the_server_said(project, rude, ask):
    body = f"<Error><Code>AccessDenied</Code><Message>{SECRET}</Message></Error>".encode()
    rude.answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    ask(at=f"http://127.0.0.1:{rude.server_address[1]}")
    with pytest.raises(SourceError, match=r"access denied.*AccessDenied") as caught:
        land(project)
    assert SECRET not in str(caught.value)


def test_a_body_that_is_cut_lands_nothing(project, rude, ask):
    head = b'HTTP/1.1 200 OK\r\nETag: "x"\r\nLast-Modified: Mon, 05 Jan 2026 10:00:00 GMT\r\n'
    rude.answer = head + b"Content-Length: 1000\r\n\r\n" + b"a" * 10
    ask("s3://lake/a.csv", at=f"http://127.0.0.1:{rude.server_address[1]}")
    landed = land(project)
    assert (landed.failed, landed.new) == (1, 0)
    assert "cut" in landed.notes[-1].message


@pytest.mark.parametrize("same", [True, False])
def test_a_body_that_is_cut_goes_on_as_long_as_it_is_the_same_object(project, rude, ask, same):
    body = bytes(range(256)) * 8192
    asked = []

    def answer(request):
        asked.append(request)
        start = int(request.partition(b"range: bytes=")[2].partition(b"-")[0] or 0)
        if start and not same:
            return b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n"
        head = 'ETag: "x"\r\nLast-Modified: Mon, 05 Jan 2026 10:00:00 GMT\r\nConnection: close\r\n'
        head += f"Content-Length: {len(body) - start}\r\n"
        if start:
            head = f"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{len(body) - 1}/{len(body)}\r\n{head}"
            return f"{head}\r\n".encode() + body[start:]
        return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body[: len(body) // 2]

    rude.answer = answer
    ask("s3://lake/a.csv", at=f"http://127.0.0.1:{rude.server_address[1]}")
    landed = land(project)
    assert raw(project) == ({"a.csv": body} if same else {})
    assert landed.failed == (not same)
    assert b'if-match: "x"' in asked[2]
    assert len(asked) == 3


@pytest.mark.parametrize("kind", ["s3", "az"])
def test_an_answer_that_is_no_listing_is_told(project, rude, ask, kind):
    rude.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    who = {} if kind == "s3" else {"key": None, "secret": None, "account": "acme", "anonymous": "true"}
    ask(f"{kind}://lake/in/*", at=f"http://127.0.0.1:{rude.server_address[1]}", **who)
    with pytest.raises(SourceError, match="no listing of objects"):
        land(project)


def azure(request):
    """What a container of two blobs answers: its listing, or the bytes of either."""
    bodies = {"in/a.csv": MORNING, "in/old.csv": NOON}
    target = request.split(b" ")[1].decode()
    head = "Last-Modified: Mon, 05 Jan 2026 10:00:00 GMT\r\nETag: x\r\nx-ms-blob-type: BlockBlob"
    if "comp=list" in target:
        fields = "<Last-Modified>Mon, 05 Jan 2026 10:00:00 GMT</Last-Modified><Content-Length>{}</Content-Length>"
        fields += "<Content-Type>x</Content-Type><Etag>x</Etag>"
        one = f"<Blob><Name>{{}}</Name><Properties>{fields}</Properties></Blob>"
        blobs = "".join(one.format(key, len(body)) for key, body in bodies.items())
        body = f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>".encode()
    else:
        body = next(body for key, body in bodies.items() if target.partition("?")[0].endswith(key))
    return f"HTTP/1.1 200 OK\r\n{head}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    ("who", "shown"),
    [
        ({"key": '"c2VjcmV0LW9mLWhlcm9ucw=="'}, b"authorization: SharedKey acme:"),
        ({"sas": '"sv=1&sig=${BUCKET_SECRET}"'}, b"sig=" + SECRET.encode()),
        ({"token": '"${BUCKET_SECRET}"'}, b"authorization: Bearer " + SECRET.encode()),
    ],
    ids=["key", "sas", "token"],
)
def test_azure_is_read_as_whoever_was_named(project, rude, ask, who, shown):
    asked = []

    def answer(request):
        asked.append(request)
        return azure(request)

    rude.answer = answer
    at = f"http://127.0.0.1:{rude.server_address[1]}"
    ask("az://lake/in/*.csv", at=at, exclude="'old*'", account="acme", **{"key": None, "secret": None, **who})
    landed = land(project)
    assert (landed.new, landed.failed) == (1, 0)
    assert raw(project) == {"a.csv": MORNING}
    assert len(asked) == 2
    assert all(shown in request for request in asked)
    assert land(project).unchanged == 1


@pytest.mark.parametrize("glob", ["old*", "in/old/*"])
def test_excluded_names_and_keys_are_left_out(project, bucket, ask, glob):
    bucket("in/old/old.csv", NOON)
    bucket("in/a.csv", MORNING)
    ask(exclude=f"'{glob}'")
    assert land(project).files == 1
    assert raw(project) == {"a.csv": MORNING}


def test_a_name_nobody_knows_is_told(project, ask):
    ask(at="http://nowhere.invalid")
    with pytest.raises(SourceError, match="cannot be resolved"):
        land(project)


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "s3://lake/*"},
        {"path": "s3://lake/*", "key": "x"},
        {"path": "s3://lake/*", "anonymous": True, "key": "x"},
        {"path": "s3://lake/*", "key": "x", "secret": "y", "sas": "z"},
        {"path": ["s3://lake/*", "gs://lake/*"], "anonymous": True},
        {"path": "az://lake/*", "anonymous": True},
        {"path": "s3://lake", "anonymous": True},
        {"path": "s3://lake/in/", "anonymous": True},
        {"path": "s3://lake/in\t/*", "anonymous": True},
        {"path": "s3://lake/*", "anonymous": True, "endpoint": "http://x.example"},
        {"path": "s3://lake/*", "anonymous": True, "endpoint": "https://a b"},
        {"path": "s3://lake/*", "anonymous": True, "endpoint": "https://u:p@x.example"},
    ],
)
def test_what_does_not_say_where_and_who_is_refused(fields):
    with pytest.raises(ValidationError):
        ObjectsSource(type="objects", format=FORMATS["csv"](type="csv"), **fields)
