"""A web server on this machine that serves a file well, badly, slowly or not at all."""

import contextlib
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

CONTENT = bytes(range(256)) * 1200  # 307,200 bytes: several chunks
PATIENCE = 60  # seconds before a request that waits gives up


class Handler(BaseHTTPRequestHandler):
    """The first part of the path says how to serve: /good/, /truncated/, /slow/ ..."""

    def do_GET(self):
        self.server.requests.append(self.path)
        _, manner, *_ = self.path.split("/")
        with contextlib.suppress(OSError, threading.BrokenBarrierError):  # the client went away
            getattr(self, manner, self.missing)()

    def good(self, content=CONTENT, announced=None):
        self.send_response(200)
        self.send_header("Content-Length", str(announced or len(content)))
        self.end_headers()
        self.wfile.write(content)

    def truncated(self):
        self.good(CONTENT[:1000], announced=len(CONTENT))

    def short(self):
        self.good(CONTENT[:1000])

    def long(self):
        self.good(CONTENT * 3)

    def tampered(self):
        self.good(CONTENT[:-1] + b"!")

    def slow(self):
        self.good(CONTENT[: 3 << 16], announced=len(CONTENT))
        self.wfile.flush()
        self.server.released.wait(PATIENCE)

    def together(self):
        self.server.pair.wait(PATIENCE)  # answers two requests at once, never one alone
        self.good()

    def garbage(self):
        self.wfile.write(b"no HTTP at all\r\n\r\n")

    def files(self):
        self.good(self.server.files[self.path.split("/")[-1]])

    def missing(self):
        self.send_error(404)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A running server: `server.url` + manner + "/" is a mirror of one file, `CONTENT`.

    The manner "files" serves what a test puts into `server.files`; `server.requests` lists what was asked.
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.url = f"http://127.0.0.1:{running.server_port}/"
        running.files = {}
        running.requests, running.released, running.pair = [], threading.Event(), threading.Barrier(2)
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def dead_mirror():
    """An address where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder of our own."""
    monkeypatch.setitem(os.environ, "MINIDL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def to_idx():
    """The function from a uint8 array to its IDX file."""
    return lambda array: (
        bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
    )
