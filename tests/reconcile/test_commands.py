"""The two commands as a person or a script calls them: tables, JSON, exit statuses, what is kept."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sinks.store import Store
from tally.cli import run
from tally.telemetry.names import RECONCILIATION
from tally.units import show_instant
from tests.flow.running import free_ports
from tests.reconcile.stores import LOG, alter, delete
from tests.reconcile.test_planted import IN_LOG
from tests.telemetry.collector import Collector, plain

LOG_OPTIONS = ("--topic", LOG.topic, "--partition", LOG.partition)


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str


Tally = Callable[..., Answer]


@pytest.fixture
def tally(store: Store, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tally:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALLY_STORE", store.url)

    def call(*arguments: str) -> Answer:
        capfd.readouterr()
        return Answer(run(arguments), *capfd.readouterr())

    return call


def kept(store: Store, where: str = "1") -> list[dict[str, object]]:
    return store.query_rows(f"SELECT * FROM reconciliations FINAL WHERE {where} ORDER BY law, place")


def test_a_clean_run_prints_both_sides_and_is_kept(tally: Tally, store: Store) -> None:
    answer = tally("reconcile")
    assert (answer.status, answer.err) == (0, "")
    assert "events = accepted + duplicates + not billable + rejected" in answer.out
    assert "0 differences in" in answer.out
    rows = {row["law"]: row for row in kept(store)}
    assert len(rows) == 17
    assert {row["standing"] for row in rows.values()} == {"holds"}
    accepted = store.query("SELECT sum(accepted) FROM progress FINAL")[0][0]
    assert rows["accepted"]["left_side"] == rows["accepted"]["right_side"] == accepted
    assert f"{accepted:,}" in answer.out


def test_a_difference_is_exit_status_1_and_kept_with_its_place(tally: Tally, store: Store) -> None:
    alter(store, "progress", "late = late + 1", IN_LOG)
    answer = tally("reconcile", "--json", "--no-logs")
    assert answer.status == 1
    found = json.loads(answer.out)
    assert found["differences"] == 1
    late = next(law for law in found["laws"] if law["law"] == "late")
    assert late["verdict"] == "difference"
    place = {"topic": "in", "partition": "0.ndjson", "generation": 1}
    said = late["findings"][0]
    assert (said["place"], said["difference"], said["left"] - said["right"]) == (place, -1, 1)
    assert [law["law"] for law in found["laws"] if law["skipped"]] == ["log"]
    row = kept(store, "standing = 'difference' AND place != ''")[0]
    assert (row["law"], json.loads(str(row["place"])), row["run_id"]) == ("late", place, found["run_id"])


def test_the_same_result_kept_twice_is_one(tally: Tally, store: Store) -> None:
    tally("reconcile", "--no-logs")
    tally("reconcile", "--no-logs", "--no-keep")
    assert store.query("SELECT uniqExact(run_id), count() FROM reconciliations FINAL") == [(1, 17)]
    from tally.reconcile.keeping import keep
    from tests.reconcile.stores import check

    found = check(store)
    keep(store, found)
    keep(store, check(store))
    assert store.query("SELECT uniqExact(run_id), count() FROM reconciliations FINAL") == [(2, 34)]


def test_amounts_keep_all_their_digits(tally: Tally, store: Store) -> None:
    tally("reconcile", "--no-logs")
    total = sum(
        store.query(f"SELECT sum(total) FROM {table} FINAL")[0][0] for table in ("statements", "interim_statements")
    )
    assert kept(store, "law = 'totals'")[0]["right_side"] == total


def test_the_differences_of_each_law_are_sent_to_a_collector(tally: Tally, store: Store) -> None:
    def sent() -> tuple[dict[str, int], float]:
        with Collector() as collector:
            answer = tally("reconcile", "--no-logs", "--no-keep", "--json", "--otlp-endpoint", collector.url)
        assert answer.err == ""
        laws = json.loads(answer.out)["laws"]
        differing = collector.metrics["tally.reconciliation.differences"].gauge.data_points
        found = {plain(point.attributes)["law"]: point.as_int for point in differing}
        assert found == {law["law"]: law["counts"].get("difference", 0) for law in laws if not law["skipped"]}
        assert "log" not in found  # not asked: nobody knows
        at = collector.metrics["tally.reconciliation.time"].gauge.data_points[0].as_double
        assert show_instant(round(at * 1_000_000)) == json.loads(answer.out)["at"]
        assert set(collector.metrics) == set(RECONCILIATION)
        return found, at

    clean, first = sent()
    assert set(clean.values()) == {0}
    alter(store, "progress", "late = late + 1", IN_LOG)
    wrong, second = sent()
    assert wrong == {**clean, "late": 1}
    assert second > first


def test_a_collector_that_is_away_changes_no_answer(tally: Tally) -> None:
    (port,) = free_ports(1)
    answer = tally("reconcile", "--no-logs", "--no-keep", "--otlp-endpoint", f"http://me:s3cret@127.0.0.1:{port}")
    assert answer.status == 0
    assert "0 differences in" in answer.out
    assert "opentelemetry" in answer.err
    assert "s3cret" not in answer.err


def test_bounds_and_topic(tally: Tally) -> None:
    answer = tally("reconcile", "--from", "2026-11-01", "--to", "2026-12-01", "--topic", "in", "--json")
    assert answer.status == 0
    found = json.loads(answer.out)
    assert (found["from"], found["to"], found["topic"]) == ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", "in")
    wrong = tally("reconcile", "--from", "2026-12-01", "--to", "2026-11-01")
    assert (wrong.status, wrong.out) == (2, "")
    assert "--to" in wrong.err


def test_where_the_logs_are_now(tally: Tally, folder: Path, tmp_path: Path) -> None:
    """Files that were moved are found where --source says."""
    (folder / "in").rename(tmp_path / "in")
    try:
        gone = json.loads(tally("reconcile", "--json").out)["laws"][9]
        assert (gone["law"], gone["counts"]) == ("log", {"not_checked": 2})
        there = json.loads(tally("reconcile", "--json", "--source", str(tmp_path / "in")).out)["laws"][9]
        assert (there["compared"], there["counts"]) == (2, {})
        elsewhere = json.loads(tally("reconcile", "--json", "--source", str(folder / "nothing")).out)["laws"][9]
        assert "cannot be read" in elsewhere["findings"][0]["note"]
    finally:
        (tmp_path / "in").rename(folder / "in")


def test_recount_as_a_table_and_as_json(tally: Tally, store: Store) -> None:
    answer = tally("recount", *LOG_OPTIONS)
    assert (answer.status, answer.err) == (0, "")
    assert "generation 1" in answer.out
    assert answer.out.rstrip().endswith("0 differences")
    delete(store, "dead_letters", f"{IN_LOG} AND offset = (SELECT min(offset) FROM dead_letters WHERE {IN_LOG})")
    found = json.loads((answer := tally("recount", *LOG_OPTIONS, "--json")).out)
    assert answer.status == 1
    assert found["differences"] >= 1
    assert found["odd_records"] > 0
    assert {law["law"]: law["verdict"] for law in found["laws"]} == {
        "rows": "holds",
        "letters": "difference",
        "verdicts": "holds",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--topic", "in", "--partition", "9.ndjson"), "knows of no such log"),
        ((*LOG_OPTIONS, "--window", "5min"), "under other settings"),
        ((*LOG_OPTIONS, "--from-offset", "99999999"), "do not lie within"),
    ],
)
def test_recounts_that_cannot_be(tally: Tally, arguments: tuple[str, ...], said: str) -> None:
    answer = tally("recount", *arguments)
    assert (answer.status, answer.out) == (2, "")
    assert said in answer.err
