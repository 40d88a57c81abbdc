"""The process's own small HTTP server: /metrics for Prometheus, /healthz and /readyz for probes.

It listens on the loopback unless told otherwise: it has no password, and says which topics there are.
"""

import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from schemas.errors import SettingsError

IDLE: Final = 10.0
"""Seconds after which a client that says nothing is hung up on."""
JSON: Final = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body and its content type."""

    status: int
    body: bytes
    kind: str = JSON


def json_answer(status: int, content: Mapping[str, Any]) -> Answer:
    """Return an answer in JSON."""
    return Answer(status, json.dumps(content, ensure_ascii=False).encode() + b"\n")


Route = Callable[[str], Answer]
"""Answers a GET; it is given the Accept header."""


class Endpoint:
    """Serves some paths until it is closed. The flow's threads are not held up: it has threads of its own."""

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        """Listen from now on; port 0 takes a free one. Raises SettingsError where the address cannot be had."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET

        class Server(ThreadingHTTPServer):
            address_family = family
            daemon_threads = True

        class Handler(_Handler):
            answers = routes

        try:
            self._server = Server((host, port), Handler)
        except OSError as error:
            shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            raise SettingsError(
                f"metrics_address: {shown} cannot be listened on: {(error.strerror or str(error)).lower()}; choose "
                "another port (a cluster's process i takes the port + i), or leave the setting out"
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    answers: Mapping[str, Route] = {}
    timeout = IDLE
    server_version = "tally"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a GET."""
        route = self.answers.get(self.path.partition("?")[0])
        if route is None:
            found = json_answer(404, {"error": "no such page", "pages": sorted(self.answers)})
        else:
            found = route(self.headers.get("Accept", ""))
        self.send_response(found.status)
        self.send_header("Content-Type", found.kind)
        self.send_header("Content-Length", str(len(found.body)))
        self.end_headers()
        self.wfile.write(found.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing: a probe comes every few seconds."""
