"""Waiting for a store that is away, and what its errors are called: no test sleeps."""

import errno
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError, ReadTimeoutError

from schemas.errors import StoreError, StoreMismatch, StoreUnavailable
from sinks.failures import explain
from sinks.retry import Retrying
from sinks.store import Store, open_store
from tests.store.samples import R, flush


class Time:
    """A clock that sleeping moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        assert seconds <= 0.1 + 1e-9
        self.now += seconds
        self.slept.append(seconds)

    def policy(self, **changes: Any) -> Retrying:
        plain: dict[str, Any] = {"sleep": self.sleep, "clock": lambda: self.now, "jitter": lambda: 0.0}
        return Retrying(**{**plain, "patience": None, **changes})


def failing(times: int, error: Exception) -> Any:
    left = [error] * times

    def action() -> str:
        if left:
            raise left.pop()
        return "done"

    return action


def test_waits_double_up_to_the_longest() -> None:
    time, messages = Time(), list[str]()
    policy = time.policy(first_wait=1.0, longest_wait=4.0, on_wait=messages.append)
    assert policy.run(failing(5, StoreUnavailable("store X does not answer")), what="writing usage") == "done"
    assert time.now == pytest.approx(1 + 2 + 4 + 4 + 4)
    assert [message.rpartition("next in ")[2] for message in messages] == ["1.0 s", "2.0 s", "4.0 s", "4.0 s", "4.0 s"]
    assert messages[1].startswith("writing usage: store X does not answer; attempt 2, waiting since 1 s")


def test_jitter_takes_at_most_half() -> None:
    for jitter, total in ((0.0, 2.0), (1.0, 1.0)):
        time = Time()
        time.policy(first_wait=2.0, jitter=lambda jitter=jitter: jitter).run(failing(1, StoreUnavailable("")), what="")
        assert time.now == pytest.approx(total)


def test_patience_ends_a_wait_with_the_last_error() -> None:
    time = Time()
    with pytest.raises(StoreUnavailable, match="away"):
        time.policy(first_wait=1.0, patience=10.0).run(failing(99, StoreUnavailable("away")), what="")
    assert 10 <= time.now <= 20
    with pytest.raises(StoreUnavailable):
        Retrying(sleep=time.sleep).run(failing(1, StoreUnavailable("")), what="")


def test_a_stop_ends_a_wait_within_a_slice() -> None:
    time = Time()
    policy = time.policy(first_wait=60.0, longest_wait=60.0, should_stop=lambda: time.now > 5)
    with pytest.raises(StoreUnavailable, match="away"):
        policy.run(failing(99, StoreUnavailable("away")), what="")
    assert time.now == pytest.approx(5.1, abs=0.11)


@pytest.mark.parametrize("error", [StoreError("no"), StoreMismatch("no"), ValueError("no")])
def test_other_errors_pass_at_once(error: Exception) -> None:
    time = Time()
    with pytest.raises(type(error)):
        time.policy().run(failing(1, error), what="")
    assert time.now == 0


def transport(cause: Exception) -> OperationalError:
    error = OperationalError("Error HTTPConnectionPool(host='h', port=1): /?query=SECRET")
    error.__cause__ = cause
    return error


def refused() -> MaxRetryError:
    pool: Any = None
    new = NewConnectionError(pool, "refused")
    new.__cause__ = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    return MaxRetryError(pool, "/?SECRET", new)


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (transport(refused()), StoreUnavailable, "does not answer: connection refused"),
        (
            transport(ProtocolError("aborted", ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))),
            StoreUnavailable,
            "reset by peer",
        ),
        (transport(ReadTimeoutError(None, "/?SECRET", "read")), StoreUnavailable, "does not answer"),  # type: ignore[arg-type]  # no pool
        (transport(TimeoutError()), StoreUnavailable, "timed out"),
        (
            DatabaseError("Code: 252. DB::Exception: Too many parts (600).", code=252),
            StoreUnavailable,
            "Too many parts",
        ),
        (
            DatabaseError("Code: 252. DB::Exception: Too many partitions for single INSERT block", code=252),
            StoreError,
            "single INSERT",
        ),
        (DatabaseError("Code: 241. DB::Exception: memory limit", code=241), StoreUnavailable, "memory"),
        (DatabaseError("HTTP driver received HTTP status 503"), StoreUnavailable, "503"),
        (DatabaseError("HTTP driver received HTTP status 500"), StoreError, "500"),
        (DatabaseError("Code: 243. DB::Exception: Cannot reserve 1.00 MiB", code=243), StoreError, "the disk is full"),
        (
            DatabaseError("Code: 75. DB::Exception: write: errno: 28, strerror: No space left on device", code=75),
            StoreError,
            "disk is full",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), StoreError, "the disk is full"),
        (DatabaseError("Code: 516. DB::Exception: wrong", code=516), StoreError, "user or password refused"),
        (DatabaseError("Code: 60. DB::Exception: Unknown table", code=60), StoreMismatch, "tally migrate"),
        (
            DatabaseError("Code: 62. DB::Exception: Syntax error (for url http://h)", code=62),
            StoreError,
            "Syntax error",
        ),
    ],
)
def test_errors_are_told_apart(error: Exception, kind: type[StoreError], text: str) -> None:
    told = explain(error, "clickhouse://u@h", "writing usage")
    assert type(told) is kind
    assert text in str(told)
    assert "clickhouse://u@h" in str(told)
    assert "SECRET" not in str(told)
    assert "\n" not in str(told)


def test_a_write_waits_for_the_store_and_then_does_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    time, messages = Time(), list[str]()
    with open_store(f"chdb:{tmp_path / 's'}", retrying=time.policy(on_wait=messages.append)) as store:
        store.migrate()
        steps: list[str] = []
        insert, check = Store._insert, Store.check_generations

        def flaky(self: Store, name: str, table: Any) -> None:
            steps.append(name)
            if len(steps) in (2, 5):
                raise StoreUnavailable("away")
            insert(self, name, table)

        def checking(self: Store, flushes: Any) -> None:
            steps.append("check")
            check(self, flushes)

        monkeypatch.setattr(Store, "_insert", flaky)
        monkeypatch.setattr(Store, "check_generations", checking)
        store.write([flush(R(quantity=5))])
        tries = [["usage_windows"], ["usage_windows", "dead_letters"], ["usage_windows", "dead_letters", "progress"]]
        assert steps == [step for one in tries for step in ("check", *one)]
        assert len(messages) == 2
        assert store.query("SELECT quantity FROM usage") == [(5,)]


def test_an_unreachable_server_is_named_without_its_password() -> None:
    with pytest.raises(
        StoreUnavailable, match=r"clickhouse://u@127.0.0.1:1/d does not answer: connection refused"
    ) as caught:
        open_store("clickhouse://u:hunter2@127.0.0.1:1/d")
    assert "hunter2" not in str(caught.value)
