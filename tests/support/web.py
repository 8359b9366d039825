"""A web server on this machine that answers as it is told, well or badly."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

BODY = b"a,b\n1,2\n" * 1000


class Server(ThreadingHTTPServer):
    """Remembers its requests, and answers a path as it is told."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.answers = {}

    def url(self, path="/data.csv", host="127.0.0.1"):
        """An address on this server."""
        return f"http://{host}:{self.server_address[1]}{path}"

    def asked(self):
        """The paths that were asked for since the last look."""
        paths = [path for path, _ in self.requests]
        self.requests.clear()
        return paths

    def handle_error(self, request, client_address):
        """A client that hung up is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    """Gives BODY unless the server was told otherwise."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Answer, by the name http.server wants."""
        self.server.requests.append((self.path, dict(self.headers)))
        answer = self.server.answers.get(self.path.partition("?")[0])
        if answer is None:
            self.give(200, BODY)
        else:
            answer(self)

    def give(self, status, body=b"", **headers):
        """A whole answer."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet."""


def in_turn(*answers):
    """An answer that is another one each time."""
    left = iter(answers)

    def answer(handler):
        next(left)(handler)

    return answer


@pytest.fixture
def server():
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()
