"""The proxy makes the trouble that it is told to make, seen from a client and from a server."""

import http.client
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.chaos.proxy import Network, Proxy, Trouble
from tests.flow.running import until


class Upstream(ThreadingHTTPServer):
    """A server that keeps the bodies which came whole, and says so."""

    daemon_threads = True

    def __init__(self) -> None:
        self.whole: list[bytes] = []
        self.broken = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                try:
                    body = self.rfile.read(length)
                except OSError:
                    body = b""
                if len(body) < length:
                    server.broken += 1
                    self.close_connection = True
                    return
                server.whole.append(body)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that are gone: here they go on purpose."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[Proxy]:
    with Network() as network:
        yield network.proxy(to=upstream.server_address[1])


def post(proxy: Proxy, body: bytes, path: str = "/", timeout: float = 30.0) -> tuple[int, bytes]:
    client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout)
    try:
        client.request("POST", path, body)
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()


def test_it_passes_on_what_comes(proxy: Proxy, upstream: Upstream) -> None:
    body = bytes(range(256)) * 2_000
    assert post(proxy, body) == (200, b"ok")
    assert upstream.whole == [body]
    assert proxy.met == 0


def test_a_delay_delays(proxy: Proxy) -> None:
    proxy.trouble(Trouble("delay", seconds=0.2))
    began = time.monotonic()
    assert post(proxy, b"x") == (200, b"ok")
    assert time.monotonic() - began >= 0.4  # there and back
    assert proxy.met


def test_refused_and_then_again_at_the_same_port(proxy: Proxy) -> None:
    proxy.trouble(Trouble("refuse"))
    with pytest.raises(ConnectionRefusedError):
        post(proxy, b"x")
    proxy.clear()
    assert post(proxy, b"x") == (200, b"ok")


def test_a_cut_lets_a_part_through(proxy: Proxy, upstream: Upstream) -> None:
    proxy.trouble(Trouble("cut", after=5_000, about=b"wanted"))
    assert post(proxy, b"x" * 10_000, "/other") == (200, b"ok")
    with pytest.raises((http.client.HTTPException, OSError)):
        post(proxy, b"x" * 10_000, "/wanted")
    until(lambda: upstream.broken == 1)
    assert len(upstream.whole) == 1


def test_a_lost_answer_is_to_a_request_that_was_served(proxy: Proxy, upstream: Upstream) -> None:
    proxy.trouble(Trouble("lose"))
    with pytest.raises((http.client.HTTPException, OSError)):
        post(proxy, b"written")
    assert upstream.whole == [b"written"]


def test_what_is_held_back_comes_after_its_client_has_gone(proxy: Proxy, upstream: Upstream) -> None:
    proxy.trouble(Trouble("hold"))
    with pytest.raises(TimeoutError):
        post(proxy, b"late", timeout=0.3)
    assert upstream.whole == []
    proxy.clear()
    until(lambda: upstream.whole == [b"late"])


def test_what_falls_into_a_hole_never_comes(proxy: Proxy, upstream: Upstream) -> None:
    proxy.trouble(Trouble("hole"))
    with pytest.raises(TimeoutError):
        post(proxy, b"gone", timeout=0.3)
    proxy.clear()
    assert post(proxy, b"next") == (200, b"ok")
    assert upstream.whole == [b"next"]


def test_an_answer_is_made_up(proxy: Proxy, upstream: Upstream) -> None:
    answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy"
    proxy.trouble(Trouble("answer", answer=answer))
    assert post(proxy, b"x" * 100_000) == (503, b"busy")
    assert upstream.whole == []


def test_a_strike_is_told_once_when_the_bytes_have_passed(proxy: Proxy, upstream: Upstream) -> None:
    struck: list[int] = []
    proxy.trouble(Trouble("strike", after=1_000, then=lambda: struck.append(len(upstream.whole))))
    assert [post(proxy, b"x" * size) for size in (10, 2_000, 2_000)] == [(200, b"ok")] * 3
    assert len(struck) == 1
