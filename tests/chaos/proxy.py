"""A TCP proxy on the loopback that makes trouble when it is told to: for a store's HTTP and for a broker's protocol.

    with Network() as network:
        proxy = network.proxy(to=8123)
        proxy.trouble(Trouble("delay", seconds=2.0))   # every connection, also those that are open
        proxy.clear()

What it has taken from a client it delivers, also when the client has died meanwhile: as a network does. So a delayed
insert of a killed process arrives beside the inserts of its successor.
"""

import asyncio
import random
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, Self

Kind = Literal["none", "delay", "refuse", "hole", "hold", "cut", "lose", "answer", "strike"]

PIECE: Final = 1 << 16
QUIET: Final = 0.05
"""Seconds without a byte after which a request counts as sent, where an answer is made up."""
PORTS: Final = range(20_000, 32_000)
"""Below the ports that the kernel gives to clients: a listener that was closed for a while finds its port free."""


@dataclass(frozen=True)
class Trouble:
    """What a proxy does to what passes.

    - delay: every piece, both ways, `seconds` later
    - refuse: nobody listens, and what was connected is reset
    - hole: what is sent goes nowhere, then the connection is reset when the trouble is over
    - hold: what is sent waits, and is delivered when the trouble is over
    - cut: a request is passed on up to its first `after` bytes, then both sides are reset
    - lose: a request is passed on whole; its answer is not, both sides are reset
    - answer: a request is answered with `answer`, and not passed on
    - strike: `then` is called when `after` bytes of a request have been passed on; once

    With `about`, of an HTTP connection only requests that have these bytes in their head are meant.
    """

    kind: Kind = "none"
    seconds: float = 0.0
    after: int = 0
    about: bytes = b""
    answer: bytes = b""
    then: Callable[[], None] | None = None


NONE: Final = Trouble()


class Network:
    """Proxies that live in one thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._proxies: list[Proxy] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, trace: TracebackType | None) -> None:
        for proxy in self._proxies:
            proxy.trouble(Trouble("refuse"))
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def proxy(self, to: int) -> "Proxy":
        """Return a proxy that listens on a port of its own and passes everything on to port `to`."""
        made = Proxy(self._loop, to)
        made.clear()
        self._proxies.append(made)
        return made


class Proxy:
    """One listening port, what it passes on to, and the trouble that it makes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, to: int) -> None:
        self.port = low_port()
        self.to = to
        self.passed = 0
        """Connections so far."""
        self.met = 0
        """Connections or requests that met with a trouble."""
        self._loop = loop
        self._now = NONE
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def trouble(self, trouble: Trouble) -> None:
        """Make this trouble from now on."""
        self._ask(self._become(trouble)).result(10)

    def clear(self) -> None:
        """Pass everything on again."""
        self.trouble(NONE)

    def _ask(self, work: Coroutine[Any, Any, None]) -> "Future[None]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _become(self, trouble: Trouble) -> None:
        self._now = trouble
        self._changed.set()
        self._changed = asyncio.Event()
        if trouble.kind == "refuse":
            self.met += 1
            if self._server is not None:
                self._server.close()
                self._server = None
            for connection in list(self._open):
                connection.reset()
        elif self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=PIECE)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.passed += 1
        try:
            upward = await asyncio.open_connection("127.0.0.1", self.to, limit=PIECE)
        except OSError:
            _reset(writer)
            return
        connection = _Connection(self, (reader, writer), upward)
        self._open.add(connection)
        try:
            await connection.run()
        finally:
            self._open.discard(connection)

    async def wait(self) -> None:
        """Wait until the trouble is another one."""
        await self._changed.wait()

    @property
    def now(self) -> Trouble:
        return self._now

    def strike(self) -> None:
        """Do what the trouble is for, once."""
        then, self._now = self._now.then, NONE
        if then is not None:
            then()


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connection:
    def __init__(self, proxy: Proxy, client: Streams, server: Streams) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._head = b""
        """The head of the request that is under way."""
        self._sent = 0
        """Bytes of it that were passed on."""

    async def run(self) -> None:
        up, down = asyncio.create_task(self._upward()), asyncio.create_task(self._downward())
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            if up.done() and not up.cancelled() and up.exception() is None and up.result():
                # The client has ended, and what it sent is on its way: the server may finish with it.
                await asyncio.wait((down,), timeout=5)
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            for _, writer in (self._client, self._server):
                with suppress(OSError, RuntimeError):
                    writer.close()

    def reset(self) -> None:
        for _, writer in (self._client, self._server):
            _reset(writer)

    async def _upward(self) -> bool:
        """Pass on what the client sends; return True at its end, False where the connection was cut."""
        reader, writer = self._client[0], self._server[1]
        while True:
            try:
                data = await reader.read(PIECE)
            except OSError:
                data = b""  # a killed client: what it had sent is delivered
            if data.startswith((b"POST /", b"GET /")):
                self._head, self._sent = data.partition(b"\r\n\r\n")[0], 0
            if not data:
                with suppress(OSError, RuntimeError):
                    writer.write_eof()
                return True
            if not await self._pass(data, writer):
                self.reset()
                return False
            self._sent += len(data)

    def _meant(self, trouble: Trouble) -> bool:
        return not trouble.about or trouble.about in self._head

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter) -> bool:
        trouble = self._proxy.now
        if not self._meant(trouble):
            return await _give(writer, data)
        match trouble.kind:
            case "delay":
                self._proxy.met += 1
                await asyncio.sleep(trouble.seconds)
            case "hole":
                self._proxy.met += 1
                await self._proxy.wait()
                return False
            case "hold":
                self._proxy.met += 1
                await self._proxy.wait()
            case "cut" if self._sent + len(data) >= trouble.after:
                self._proxy.met += 1
                await _give(writer, data[: max(0, trouble.after - self._sent)])
                return False
            case "answer":
                self._proxy.met += 1
                await self._answer(trouble.answer)
                return False
            case "strike" if self._sent + len(data) >= trouble.after:
                self._proxy.met += 1
                given = await _give(writer, data)
                self._proxy.strike()
                return given
        return await _give(writer, data)

    async def _answer(self, answer: bytes) -> None:
        reader, writer = self._client
        with suppress(TimeoutError, OSError):  # to its end, so that the answer is not lost by a reset
            while await asyncio.wait_for(reader.read(PIECE), QUIET):
                pass
        await _give(writer, answer)
        with suppress(OSError, RuntimeError):
            writer.write_eof()
            await asyncio.sleep(QUIET)

    async def _downward(self) -> None:
        reader, writer = self._server[0], self._client[1]
        while True:
            try:
                data = await reader.read(PIECE)
            except OSError:
                data = b""
            trouble = self._proxy.now
            if self._meant(trouble):
                if trouble.kind == "lose":
                    self._proxy.met += 1
                    self.reset()
                    return
                if trouble.kind == "delay":
                    await asyncio.sleep(trouble.seconds)
                elif trouble.kind in ("hole", "hold"):
                    await self._proxy.wait()
            if not data:
                return
            with suppress(OSError, RuntimeError):  # a client that is gone: the server still is to be heard out
                writer.write(data)
                await writer.drain()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _give(writer: asyncio.StreamWriter, data: bytes) -> bool:
    try:
        writer.write(data)
        await writer.drain()
    except (OSError, RuntimeError):
        return False
    return True


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    with suppress(OSError):
        # Lingering for no time makes the close a reset.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    writer.transport.abort()


def low_port() -> int:
    """Return a port that nobody listens on, and that the kernel gives to no client while its listener is away."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as trial, suppress(OSError):
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", port))
            return port
