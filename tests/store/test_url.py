"""Store URLs, and the embedded store's one process at a time."""

import fcntl
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from schemas.errors import SettingsError, StoreBusy, StoreError
from sinks.embedded import opening
from sinks.store import open_store
from sinks.url import EmbeddedUrl, ServerUrl, parse_url
from tests.store.samples import R, flush
from tests.store.serving import ServerProcess


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("clickhouse://h", ServerUrl("h", 8123, "default", "", None, False)),
        ("clickhouse://h/db", ServerUrl("h", 8123, "default", "", "db", False)),
        ("clickhouses://h/db/", ServerUrl("h", 8443, "default", "", "db", True)),
        ("clickhouse://u:p%40%2F%3A@h:9/d%2De", ServerUrl("h", 9, "u", "p@/:", "d-e", False)),
        (" clickhouse://u@[::1]:9 ", ServerUrl("::1", 9, "u", "", None, False)),
    ],
)
def test_server_urls(url: str, expected: ServerUrl) -> None:
    assert parse_url(url) == expected


def test_embedded_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    here = EmbeddedUrl(tmp_path.resolve() / "store")
    for spelling in ("store", "./store/", "~/store", str(tmp_path / "x" / ".." / "store")):
        assert parse_url(f"chdb:{spelling}") == here


@pytest.mark.parametrize(
    "url",
    [
        "",
        "store",
        "postgres://h/d",
        "chdb:",
        "chdb://x",
        "chdb::memory:",
        "chdb:a?b=1",
        "clickhouse:",
        "clickhouse://",
        "clickhouse://:9",
        "clickhouse://h:99999",
        "clickhouse://h:port",
        "clickhouse://h/a/b",
        "clickhouse://h/a?x=1",
        "clickhouse://u:p#q@h/d",
    ],
)
def test_bad_urls_say_how_to_write_one(url: str) -> None:
    with pytest.raises(SettingsError, match=r"store"):
        parse_url(url)


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SettingsError, match="is a file"):
        parse_url(f"chdb:{tmp_path / 'file'}")


@pytest.mark.parametrize(
    "url",
    [
        "clickhouse://u:hunter2@h:x/d",
        "clickhouse://u:hunter2@h/a/b",
        "clickhouse://u:hunter2@h/d?q",
        "clickhose://u:hunter2@h",
    ],
)
def test_messages_hold_no_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_url(url)
    assert "hunter2" not in str(caught.value)


def test_shown_urls_hold_no_password() -> None:
    url = parse_url("clickhouse://u:hunter2@h:9/d")
    assert "hunter2" not in f"{url} {url!r}"
    assert str(url) == "clickhouse://u@h:9/d"
    assert isinstance(url, ServerUrl)
    assert not url.loopback
    assert parse_url("clickhouse://127.0.0.1") == ServerUrl("127.0.0.1", 8123, "default", "", None, False)


def test_only_what_exists_is_opened_where_nothing_may_be_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is none"):
        open_store(f"chdb:{tmp_path / 'nothing'}", create=False)
    assert not (tmp_path / "nothing").exists()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be made"):
        open_store(f"chdb:{tmp_path / 'file' / 'store'}")


def test_a_store_is_closed_and_opened_again_in_one_process(tmp_path: Path) -> None:
    url = f"chdb:{tmp_path / 'store'}"
    for turn in range(3):
        with open_store(url) as store:
            assert bool(store.migrate()) == (turn == 0)
            store.write([flush(R(turn, quantity=turn))])
    with open_store(f"chdb:{tmp_path / 'other'}") as other:
        assert len(other.migrate()) > 0
    with open_store(url, create=False) as store:
        assert store.query("SELECT sum(quantity), count() FROM usage") == [(3, 3)]


def test_two_stores_at_once_in_one_process_are_refused(tmp_path: Path) -> None:
    with open_store(f"chdb:{tmp_path / 'a'}"):
        with pytest.raises(StoreBusy, match=r"this process already has .*a open.*tally serve"):
            open_store(f"chdb:{tmp_path / 'b'}")
        with open_store(f"chdb:{tmp_path / 'a'}") as again:
            assert again.query("SELECT 1") == [(1,)]
    open_store(f"chdb:{tmp_path / 'b'}").close()


def test_another_process_is_refused_and_told_of_serve(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "store"):
        with pytest.raises(StoreBusy, match=r"process \d+ has it open.*`tally serve --store chdb:"):
            open_store(f"chdb:{tmp_path / 'store'}")
        script = f"from sinks.store import open_store; open_store('chdb:{tmp_path / 'store'}')"
        other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert other.stderr.strip().splitlines()[-1].startswith("schemas.errors.StoreBusy")
    with open_store(f"chdb:{tmp_path / 'store'}") as free:
        assert free.query("SELECT 1") == [(1,)]


def test_a_process_that_opened_the_store_a_moment_earlier_is_named(tmp_path: Path) -> None:
    url = parse_url(f"chdb:{tmp_path / 'store'}")
    assert isinstance(url, EmbeddedUrl)

    def refused(held: str) -> None:
        """Hold a file once the lock was asked, and fail as the engine does."""
        with ExitStack() as other, opening(url):
            fcntl.flock(other.enter_context((tmp_path / "store" / held).open("w")), fcntl.LOCK_EX)
            raise StoreError("what the engine says")

    with pytest.raises(StoreBusy, match="has it open, and only one process can"):
        refused("status")
    with pytest.raises(StoreError, match="what the engine says"):
        refused("another")


def test_a_folder_that_cannot_be_written_is_told_before_the_engine_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(f"chdb:{tmp_path / 'store'}").close()
    with monkeypatch.context() as patched:  # whoever runs tests as root may write anywhere
        patched.setattr("os.access", lambda *_: False)
        with pytest.raises(StoreError, match="the folder cannot be written, which the engine must even to read"):
            open_store(f"chdb:{tmp_path / 'store'}")
    open_store(f"chdb:{tmp_path / 'store'}").close()


def test_the_host_time_zone_changes_nothing(tmp_path: Path) -> None:
    script = (
        "from sinks.store import open_store\nfrom tests.store.samples import *\n"
        f"with open_store('chdb:{tmp_path / 'store'}') as s:\n"
        "    s.migrate(); s.write([flush(R())])\n"
        "    print(s.query('SELECT window_start, timezone() FROM usage'))\n"
        "    print(s.query('SELECT hour FROM usage_hourly'), s.query('SELECT day FROM usage_daily'))\n"
        "    print(s.query(\"SELECT count() FROM usage WHERE window_start = '2026-11-22 12:00:00'\"))\n"
    )
    seen = {
        zone: subprocess.run(
            [sys.executable, "-c", script.replace("'store'", f"'{number}'")],
            env={"TZ": zone, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for number, zone in enumerate(("UTC", "America/New_York", "Asia/Kathmandu"))
    }
    assert len(set(seen.values())) == 1, seen
    assert "2026, 11, 22, 12, 0, tzinfo=datetime.timezone.utc), 'UTC'" in seen["UTC"]
    assert "[(1,)]" in seen["UTC"]
