"""Migrations: in order, once, by two at a time, through a crash, and never against a store of another version."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from schemas.errors import StoreMismatch
from sinks import migrations
from sinks.store import Store, open_store
from tests.store.samples import R, flush

NAMES = [migration.name for migration in migrations.known()]


@pytest.fixture
def empty(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield opened


def test_they_are_numbered_without_a_gap_and_safe_to_repeat() -> None:
    assert [int(name[:4]) for name in NAMES] == list(range(1, len(NAMES) + 1))
    for migration in migrations.known():
        assert migration.statements
        for statement in migration.statements:
            code = [line for line in statement.splitlines() if line and not line.startswith("--")]
            safe = ("CREATE TABLE IF NOT EXISTS ", "CREATE VIEW IF NOT EXISTS ", "CREATE OR REPLACE VIEW ")
            assert code[0].startswith(safe), migration.name


def test_every_table_gives_its_reasons() -> None:
    for migration in migrations.known():
        for statement in migration.statements:
            if "CREATE TABLE" in statement:
                comment = "\n".join(line for line in statement.splitlines() if line.startswith("--"))
                assert "ReplacingMergeTree" in comment, migration.name
                assert "order" in comment.lower(), migration.name


def test_first_use_applies_all_and_the_next_none(empty: Store) -> None:
    with pytest.raises(StoreMismatch, match="tally migrate"):
        empty.check_version()
    assert empty.migrate() == NAMES
    empty.check_version()
    assert empty.migrate() == []
    assert list(empty.applied_migrations()) == NAMES


@pytest.mark.parametrize("recorded", [True, False])
def test_a_crash_in_the_middle_is_finished_by_the_next_run(
    empty: Store, monkeypatch: pytest.MonkeyPatch, recorded: bool
) -> None:
    """Stop before every statement in turn, with and without a record of the files that were done until then."""

    class Stop(Exception):
        pass

    command, budget = empty.command, 0

    def limited(sql: str) -> None:
        nonlocal budget
        if budget == 0:
            raise Stop
        budget -= 1
        command(sql)

    crashes = 0
    with monkeypatch.context() as patch:
        patch.setattr(empty, "command", limited)
        if not recorded:
            patch.setattr(empty, "_insert", lambda name, table: None)  # noqa: ARG005 - stands in for a method
        for statements in range(sum(len(migration.statements) for migration in migrations.known())):
            budget = statements
            try:
                empty.migrate()
            except Stop:
                crashes += 1
    assert crashes >= len(NAMES) // 2
    assert recorded or empty.applied_migrations() == {}
    empty.migrate()
    empty.check_version()
    empty.write([flush(R(quantity=3))])
    assert empty.query("SELECT quantity FROM usage") == [(3,)]


def test_an_unfinished_record_is_applied_again(empty: Store) -> None:
    empty.migrate()
    empty.write([flush(R(quantity=3))])
    empty.command("TRUNCATE TABLE schema_migrations")
    assert empty.migrate() == NAMES
    assert empty.query("SELECT quantity FROM usage") == [(3,)]


def record(store: Store, name: str, checksum: str) -> None:
    store.command(f"INSERT INTO schema_migrations (name, checksum) VALUES ('{name}', '{checksum}')")


def test_a_store_of_a_newer_version_is_refused(empty: Store) -> None:
    empty.migrate()
    record(empty, "9999_the_future.sql", "x")
    for use in (empty.migrate, empty.check_version):
        with pytest.raises(StoreMismatch, match=r"newer version.*9999_the_future.*upgrade"):
            use()


def test_an_edited_migration_is_noticed(empty: Store) -> None:
    empty.migrate()
    record(empty, NAMES[1], "0" * 64)
    # Equal keys: the row that was written last is the one that counts.
    for use in (empty.migrate, empty.check_version):
        with pytest.raises(StoreMismatch, match=f"{NAMES[1]}.*another content"):
            use()


def test_a_new_migration_is_applied_alone(empty: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    known = migrations.known()
    monkeypatch.setattr(migrations, "known", lambda: known[:-1])
    assert empty.migrate() == NAMES[:-1]
    monkeypatch.setattr(migrations, "known", lambda: known)
    with pytest.raises(StoreMismatch, match=NAMES[-1]):
        empty.check_version()
    assert empty.migrate() == NAMES[-1:]


@pytest.mark.parametrize("store_url", ["server"], indirect=True)
def test_two_processes_at_once(store_url: str) -> None:
    script = f"from sinks.store import open_store\nwith open_store({store_url!r}) as s: s.migrate(); s.check_version()"
    both = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(3)]
    assert [process.wait(60) for process in both] == [0, 0, 0]
    with open_store(store_url) as opened:
        opened.check_version()
        assert opened.query("SELECT count() FROM schema_migrations FINAL") == [(len(NAMES),)]


def test_the_checksum_is_of_the_text_and_not_of_its_line_ends() -> None:
    unix = migrations.parse("0001_a.sql", "-- why;\nCREATE TABLE a;\n\nCREATE VIEW b\nAS c;\n")
    assert unix.statements == ("-- why;\nCREATE TABLE a", "CREATE VIEW b\nAS c")
    dos = migrations.parse("0001_a.sql", "-- why;\r\nCREATE TABLE a;\r\n\r\nCREATE VIEW b\r\nAS c;\r\n")
    assert dos == unix
    assert migrations.parse("0001_a.sql", "-- why\nCREATE TABLE a;\n").checksum != unix.checksum
    with pytest.raises(ValueError, match="no semicolon"):
        migrations.parse("0001_a.sql", "CREATE TABLE a")
