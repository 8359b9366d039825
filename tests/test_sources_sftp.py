"""The SFTP source against a real server: what lands, who is trusted, what a cut or changed file does."""

import asyncio
import logging
import os
import socket
import threading
import time

import asyncssh
import pytest

from lakehouse.errors import SourceError
from lakehouse.sources import Seen

MORNING = b"time_hour,carrier,flight,origin,dep_delay\n2013-01-01T05:00:00Z,UA,1545,EWR,2\n"
NOON = b"time_hour,carrier,flight,origin,dep_delay\n2013-01-01T12:00:00Z,B6,725,JFK,3\n"
PASSWORD = "hunter-of-herons"

pytestmark = pytest.mark.usefixtures("ask")


class Files(asyncssh.SFTPServer):
    """Serves a folder; cuts the connection where it is told to."""

    cuts = 0  # connections still to be cut
    after = 1 << 20  # at which byte of a file
    stalls = False
    ends = None  # the acceptor, where no other connection is taken after a cut
    grows = 0  # bytes still to be added to a file while it is read

    def __init__(self, channel):
        super().__init__(channel, chroot=os.fsencode(self.folder))

    async def read(self, file, offset, size):
        """Some bytes, or the end of the connection."""
        while Files.stalls:  # noqa: ASYNC110  # set from another thread
            await asyncio.sleep(0.02)
        if Files.cuts and offset >= Files.after:
            Files.cuts -= 1
            if Files.ends:
                Files.ends.close()
            self.connection.abort()
        piece = super().read(file, offset, size)
        if Files.grows:
            os.truncate(file.name, os.fstat(file.fileno()).st_size + Files.grows)
            Files.grows = 0
        return piece


class Server(asyncssh.SSHServer):
    """Knows one user, by a password or a key."""

    connections = 0
    public = None
    alive = []  # noqa: RUF012  # of all

    def connection_made(self, connection):
        """Count them."""
        Server.connections += 1
        Server.alive.append(connection)

    def begin_auth(self, _username):
        """Everybody must say who they are."""
        return True

    def password_auth_supported(self):
        """It is."""
        return True

    def validate_password(self, username, password):
        """One pair is right."""
        return (username, password) == ("ann", PASSWORD)

    def public_key_auth_supported(self):
        """It is."""
        return True

    def validate_public_key(self, _username, key):
        """One key is right."""
        return key.export_public_key() == Server.public


class Running:
    """A server in a thread of its own."""

    def __init__(self, folder):
        logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)
        Files.folder, Files.cuts, Files.stalls, Files.grows, Server.connections = str(folder), 0, False, 0, 0
        Files.ends = None
        self.folder = folder
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.acceptor = self.call(self.listen())
        self.port = self.acceptor.get_port()

    async def listen(self):
        """Start to listen."""
        given = {"server_factory": Server, "server_host_keys": [self.key], "sftp_factory": Files}
        return await asyncssh.listen("127.0.0.1", 0, **given)

    def call(self, coroutine):
        """Run something in the server's thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def stop(self):
        """End it and every connection."""

        async def end():
            Files.stalls = False
            self.acceptor.close()
            await self.acceptor.wait_closed()
            await asyncio.sleep(0.05)  # what was stalled ends by itself
            while Server.alive:
                connection = Server.alive.pop()
                connection.abort()
                await connection.wait_closed()
            await asyncio.sleep(0.05)  # sockets are closed a moment later

        self.call(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    @property
    def public(self):
        """The host key as it stands in a known_hosts file, without the host."""
        return " ".join(self.key.export_public_key().decode().split()[:2])


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    made = Running(folder)
    yield made
    made.stop()


@pytest.fixture
def ask(project, server, monkeypatch):
    """Writes the source; fields in the order of YAML."""
    monkeypatch.setenv("SFTP_PASSWORD", PASSWORD)

    def configure(**fields):
        known = {
            "path": "'*.csv'",
            "password": '"${SFTP_PASSWORD}"',
            "host_key": f'"{server.public}"',
            "timeout": "2s",
            "attempts": 1,
            **fields,
        }
        lines = "".join(f"{name}: {value}\n" for name, value in known.items() if value is not None)
        head = f"type: sftp\nhost: 127.0.0.1\nport: {server.port}\nuser: ann\nformat: csv\n"
        (project.folder / "configs/sources/flights.yaml").write_text(head + lines)

    configure()
    return configure


def land(project):
    with project.lake() as lake:
        return lake.land("flights")


def raw(project):
    found = (project.folder / "data/raw/flights").glob("??/*/*")
    return {path.name: path.read_bytes() for path in found if path.name != "manifest.json"}


def failure(landed):
    [note] = [note for note in landed.notes if note.kind == "failed"]
    return note.message


def test_files_land_once_and_a_changed_one_is_corrected(project, server):
    (server.folder / "morning.csv").write_bytes(MORNING)
    (server.folder / "noon.csv").write_bytes(NOON)
    project.run()
    assert project.read().height == 2
    assert Server.connections == 1
    assert land(project).unchanged == 2
    (server.folder / "noon.csv").write_bytes(NOON.replace(b",3\n", b",-31\n"))
    project.run()
    assert project.read()["dep_delay"].to_list() == [2, -31]


def test_globs_go_deep_follow_linked_files_and_leave_hidden_and_excluded_ones(project, server, ask):
    (server.folder / "in/2013/.hidden").mkdir(parents=True)
    (server.folder / "in/2013/a.csv").write_bytes(MORNING)
    (server.folder / "in/2013/.b.csv").write_bytes(b"x")
    (server.folder / "in/2013/.hidden/c.csv").write_bytes(b"x")
    (server.folder / "in/old.csv").write_bytes(b"x")
    (server.folder / "in/link.csv").symlink_to("2013/a.csv")
    (server.folder / "in/gone.csv").symlink_to("nowhere.csv")
    (server.folder / "in/loop.csv").symlink_to("loop.csv")
    (server.folder / "in/linked").symlink_to("2013")
    ask(path="/in/**/*.csv", exclude="'old*'")
    landed = land(project)
    assert (landed.files, landed.failed) == (2, 0)
    assert raw(project) == {"a.csv": MORNING}


def test_what_is_denied_is_told_and_the_others_land(project, server, ask, monkeypatch):
    (server.folder / "in/closed").mkdir(parents=True)
    (server.folder / "in/a.csv").write_bytes(MORNING)
    (server.folder / "in/b.csv").write_bytes(NOON)

    def denying(done, ending):
        def do(self, path, *rest):
            if path.endswith(ending):
                raise asyncssh.SFTPPermissionDenied("no")
            return done(self, path, *rest)

        return do

    monkeypatch.setattr(Files, "scandir", denying(Files.scandir, b"/closed"))
    monkeypatch.setattr(Files, "open", denying(Files.open, b"/b.csv"))
    ask(path="in/**/*.csv", attempts=3)
    landed = land(project)
    assert (landed.new, landed.failed) == (1, 2)
    told = [note.message.partition("/in/")[2] for note in landed.notes]
    assert told == ["b.csv: the server denies access", "closed: the server denies access"]
    assert Server.connections == 1


def test_a_file_changed_again_within_its_second_is_seen(project, server):
    path = server.folder / "a.csv"
    path.write_bytes(MORNING)
    now = int(time.time())
    os.utime(path, (now, now))
    assert land(project).new == 1
    path.write_bytes(MORNING.replace(b",2\n", b",3\n"))
    os.utime(path, (now, now))
    assert land(project).new == 1
    os.utime(path, (now - 9, now - 9))
    assert land(project).unchanged == 1


def test_names_may_be_any_bytes(project, server):
    names = [b"gr\xfc\xdfe.csv", "grüße.csv".encode(), b"a b#?%20.csv", b"line\nfeed.csv", b"back\\slash.csv"]
    for number, name in enumerate(names):
        (server.folder / os.fsdecode(name)).write_bytes(MORNING + str(number).encode())
    landed = land(project)
    assert (landed.new, landed.failed) == (5, 0)
    assert len(raw(project)) == 5
    assert land(project).unchanged == 5


def test_an_unknown_host_is_refused_and_its_fingerprint_told(project, server, ask, tmp_path):
    (tmp_path / "known").write_text("")
    ask(host_key=None, known_hosts=tmp_path / "known")
    with pytest.raises(SourceError, match="SHA256:") as caught:
        land(project)
    fingerprint = server.key.get_fingerprint()
    assert f'host_key: "{fingerprint}"' in str(caught.value)
    assert (tmp_path / "known").read_text() == ""
    (server.folder / "a.csv").write_bytes(MORNING)
    ask(host_key=f'"{fingerprint}"')
    assert land(project).new == 1
    ask(host_key=None, known_hosts=tmp_path / "known")
    (tmp_path / "known").write_text(f"[127.0.0.1]:{server.port} {server.public}\n")
    assert land(project).unchanged == 1


@pytest.mark.parametrize("damaged", [b"\xff\xfe", b"x.example ssh-rsa AAA"])
def test_a_known_hosts_file_that_cannot_be_read_is_named(project, ask, tmp_path, damaged):
    (tmp_path / "known").write_bytes(damaged + b"\n")
    ask(host_key=None, known_hosts=tmp_path / "known")
    with pytest.raises(SourceError, match=r"known' cannot be read: (it is not text|a line of it.*x\.example)"):
        land(project)


@pytest.mark.parametrize("fingerprint", [False, True])
def test_another_host_key_is_refused_before_anything_is_sent(project, ask, fingerprint):
    other = asyncssh.generate_private_key("ssh-ed25519")
    text = other.get_fingerprint() if fingerprint else " ".join(other.export_public_key().decode().split()[:2])
    ask(host_key=f'"{text}"')
    with pytest.raises(SourceError, match="nothing was sent"):
        land(project)


def test_a_wrong_password_is_refused_and_never_shown(project, monkeypatch, capfd):
    monkeypatch.setenv("SFTP_PASSWORD", "wrong-of-herons")
    with pytest.raises(SourceError, match="refuses user 'ann'") as caught:
        land(project)
    assert "of-herons" not in str(caught.value) + "".join(capfd.readouterr())


def test_a_key_opens_with_its_passphrase_only(project, server, ask, monkeypatch):
    (server.folder / "a.csv").write_bytes(MORNING)
    key = asyncssh.generate_private_key("ssh-ed25519")
    Server.public = key.export_public_key()
    text = key.export_private_key("openssh", passphrase="open sesame", rounds=1, ignore_few_rounds=True)
    (project.folder / "key").write_bytes(text)
    monkeypatch.setenv("PHRASE", "open sesame")
    ask(password=None, key='"${file:key}"', passphrase='"${PHRASE}"')
    assert land(project).new == 1
    ask(password=None, key="key", passphrase='"${PHRASE}"')
    assert land(project).unchanged == 1
    ask(password=None, key="key")
    with pytest.raises(SourceError, match="say passphrase"):
        land(project)
    monkeypatch.setenv("PHRASE", "open barley")
    ask(password=None, key="key", passphrase='"${PHRASE}"')
    with pytest.raises(SourceError, match="not of this passphrase"):
        land(project)


def test_no_secret_is_kept_anywhere(project, server):
    (server.folder / "a.csv").write_bytes(MORNING)
    project.run()
    kept = [path for path in (project.folder / "data").rglob("*") if path.is_file()]
    assert len(kept) > 3
    assert not [path for path in kept if PASSWORD.encode() in path.read_bytes()]


def test_a_cut_connection_goes_on_where_it_stopped(project, server):
    body = os.urandom(3 << 20)
    (server.folder / "a.csv").write_bytes(body)
    Files.cuts = 1
    assert land(project).new == 1
    assert Server.connections == 2
    assert raw(project) == {"a.csv": body}


def test_a_server_that_always_cuts_lands_nothing(project, server):
    (server.folder / "a.csv").write_bytes(os.urandom(3 << 20))
    (server.folder / "b.csv").write_bytes(MORNING)
    Files.cuts = 10_000  # each request of a connection that ends counts
    landed = land(project)
    assert (landed.failed, landed.new) == (1, 1)
    assert "was cut off after" in failure(landed)
    assert raw(project) == {"b.csv": MORNING}


def test_a_server_that_ends_in_the_midst_of_a_file_is_told(project, server):
    (server.folder / "a.csv").write_bytes(MORNING)
    (server.folder / "b.csv").write_bytes(os.urandom(3 << 20))
    Files.cuts = 10_000
    Files.ends = server.acceptor
    landed = land(project)
    assert (landed.failed, landed.new) == (1, 1)
    assert "nable to connect" in failure(landed)


def test_a_server_that_stalls_is_left(project, server, ask):
    (server.folder / "a.csv").write_bytes(MORNING)
    ask(timeout="500ms")
    Files.stalls = True
    assert "no answer in time" in failure(land(project))
    ask(timeout="30s", deadline="500ms")
    assert "deadline has passed" in failure(land(project))


def test_a_file_that_grows_while_it_is_read_is_tried_anew(project, server):
    (server.folder / "a.csv").write_bytes(MORNING)
    Files.grows = 3
    with project.lake() as lake:
        offers = lake.config.sources["flights"].offers(Seen(), project.clock())
        offer = next(offers)
        with pytest.raises(SourceError, match="still being written") as caught, offer.open() as download:
            assert b"".join(download.chunks) == MORNING
        assert caught.value.retryable
        with offer.open() as download:
            assert b"".join(download.chunks) == MORNING + bytes(3)
        offers.close()


def test_a_growing_file_lands_nothing(project, server):
    (server.folder / "a.csv").write_bytes(MORNING)
    Files.grows = 3
    assert "set 'settle'" in failure(land(project))
    assert raw(project) == {}


def test_a_young_file_settles(project, server, ask):
    (server.folder / "a.csv").write_bytes(MORNING)
    os.utime(server.folder / "a.csv", (project.clock.now.timestamp(),) * 2)
    ask(settle="1h")
    assert land(project).settling == 1


def test_a_missing_file_and_a_closed_port_are_told(project, server, ask):
    ask(path="nope.csv")
    with pytest.raises(SourceError, match="there is no such file"):
        land(project)
    server.call(_closed(server))
    with pytest.raises(SourceError, match="connect"):
        land(project)


def test_what_speaks_no_ssh_is_told_without_a_traceback(project, server, monkeypatch, capfd):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logging.getLogger("paramiko").setLevel(logging.NOTSET)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        project.change("sources/flights", f"port: {server.port}", f"port: {listening.getsockname()[1]}")
        with pytest.raises(SourceError, match="Error reading SSH protocol banner"):
            land(project)
        thread.join()
    assert "".join(capfd.readouterr()) == ""


async def _closed(server):
    server.acceptor.close()
