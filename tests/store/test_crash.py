"""A serving process killed with SIGKILL in the middle of a client's inserts: nothing acknowledged is lost."""

import threading
from pathlib import Path

import pytest

from schemas.errors import StoreUnavailable
from schemas.log import LogId
from sinks.retry import Retrying
from sinks.store import open_store
from tests.store.samples import HOUR, NOON, R, flush, letter, progress
from tests.store.serving import ServerProcess

MONTH = 31 * 24 * HOUR


def write_number(number: int) -> list[R]:
    """Return the rows of write `number`: each adds one to 2,000 totals over 20 months."""
    return [
        R(org, start=NOON - month * MONTH, quantity=number + 1, events=number + 1, last=number)
        for month in range(20)
        for org in range(100)
    ]


def test_kill_during_inserts_and_resend(tmp_path: Path) -> None:
    """Kill three times in the middle of writes, the writer waiting; then every total is exact."""
    with ServerProcess(tmp_path / "store") as server:
        restarted = threading.Event()
        messages: list[str] = []

        def restart() -> None:
            server.kill()
            server.start()
            restarted.set()

        # Waits without sleeping: the restart in the other thread is what lets it go on.
        def sleep(_: float) -> None:
            restarted.wait(30)

        policy = Retrying(patience=None, on_wait=messages.append, sleep=sleep)
        with open_store(server.url, retrying=policy) as store:
            store.migrate()
            killer: threading.Thread | None = None
            for number in range(40):
                if number in (10, 20, 30):
                    restarted.clear()
                    killer = threading.Thread(target=restart)
                    killer.start()
                at = progress(next_offset=number + 1)
                store.write([flush(*write_number(number), at=at, letters=[letter(number)])])
                found = store.progress()[LogId("events", "0")]
                assert found.next_offset == number + 1
                if number in (12, 22, 32) and killer is not None:
                    killer.join()
            assert store.query("SELECT sum(quantity), sum(events), count() FROM usage") == [(80_000, 80_000, 2_000)]
            assert store.query("SELECT count() FROM dead_letters FINAL") == [(40,)]
            assert not store.rows_past_progress(LogId("events", "0"), 1, 40)
    assert messages
    assert all("secret" not in message for message in messages)


def test_a_client_that_does_not_wait_is_told(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "store") as server:
        with open_store(server.url) as store:
            store.migrate()
            store.write([flush(*write_number(0), at=progress(next_offset=1))])
            server.kill()
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match="does not answer"):
                    store.write([flush(*write_number(1), at=progress(next_offset=2))])
        server.start()
        with open_store(server.url) as store:
            assert store.query("SELECT sum(quantity) FROM usage") == [(2_000,)]
            store.write([flush(*write_number(1), at=progress(next_offset=2))])
            assert store.query("SELECT sum(quantity) FROM usage") == [(4_000,)]
        assert server.stop() == 0
