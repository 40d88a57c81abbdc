"""A rater that stays, as a process of its own against a served store: what it rates, and what it makes of trouble."""

import signal
from pathlib import Path

import pytest

from tests.flow.processes import tally
from tests.flow.running import Running, free_ports, only_message, until
from tests.rater.raters import QUICK, Rater, fill, once, prices, server, statements, unchanged, url, wrote
from tests.store.samples import R
from tests.telemetry.collector import Collector
from tests.telemetry.scraping import probe, scrape

__all__ = ["prices", "server", "url"]

OWN = "contracts:\n  - {org_id: 7, id: seven, plan: business, currency: USD, from: 2026-01-01}\n"


def replace(path: Path, text: str) -> None:
    """Put another content in a file's place, at once."""
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def dearer(text: str) -> str:
    """The sample book as its next revision, in which a business plan costs another fee."""
    changed = text.replace("amount: 89.00", "amount: 99.00").replace("revision: 1\n", "revision: 2\n")
    assert changed.count("amount: 99.00") == changed.count("revision: 2") == 1
    return changed


@pytest.mark.parametrize("processes", ["1", "2"])
def test_passes_follow_each_other_and_find_what_has_changed(url: str, processes: str) -> None:
    fill(url, [R(7, quantity=62_345), R(8, quantity=1)])
    with Rater(*QUICK, "--store", url, "--processes", processes) as rater:
        first = rater.until_pass()
        assert (first["pass"], first["result"], first["message"]) == (1, "rated", None)
        (month,) = first["months"]
        assert (month["period"], month["complete_to"], month["failures"]) == ("2026-11", "2026-11-22T12:00:00Z", 0)
        assert (month["organisations"], month["kept"]["written"]) == (5, 5)
        rater.until_pass(unchanged)
        fill(url, [R(7, quantity=99_999, last=120), R(9, quantity=5, last=130)], next_offset=150)
        changed = rater.until_pass(lambda found: wrote(found) > 0)
        (month,) = changed["months"]
        assert (month["organisations"], month["kept"]["written"]) == (2, 2), "8 has not changed, and is not rated again"
        rater.until_pass(unchanged)
        assert rater.end(signal.SIGTERM) == 0
    assert rater.said == []
    assert [found["pass"] for found in rater.passes] == list(range(1, len(rater.passes) + 1))
    assert len(statements(url)) == 6
    before = statements(url, "*")
    once(url)
    assert statements(url, "*") == before, "a single pass after it has nothing to change"


def test_prices_are_read_again_when_their_files_change_and_never_used_once_they_are_broken(
    url: str, prices: Path
) -> None:
    fill(url, [R(7, quantity=62_345)])
    (port,) = free_ports(1)
    good = prices.read_text(encoding="utf-8")
    with Rater(*QUICK, "--store", url, "--metrics-address", str(port)) as rater:
        rater.until_pass(unchanged)
        before = statements(url)
        replace(prices, good + "# a remark changes nothing\n")
        rater.until_pass(unchanged)
        replace(prices, dearer(good) + "plans: twice\n")
        failed = rater.until_pass(lambda found: found["result"] == "prices")
        fill(url, [R(7, quantity=99_999, last=120)], next_offset=150)
        failed = rater.until_pass()
        assert (failed["result"], failed["months"]) == ("prices", [])
        assert failed["message"].startswith("prices.yaml:")
        assert statements(url) == before, "nothing is rated by the prices before, though there is usage to rate"
        status, answer = probe(port, "/readyz")
        assert (status, [problem["what"] for problem in answer["problems"]]) == (503, ["pass"])
        assert "prices.yaml:" in answer["problems"][0]["message"]
        assert probe(port, "/healthz")[0] == 200
        said = rater.until(lambda line: "has failed" in line)
        assert "nothing more is rated until the next: prices.yaml:" in said
        assert said.endswith("the prices before are not used in their place")

        replace(prices, dearer(good))
        assert wrote(rater.until_pass(lambda found: found["result"] == "rated")) == 4
        until(lambda: probe(port, "/readyz")[0] == 200)
        found = scrape(port)
        assert found.value("tally_rating_passes_total", {"result": "prices"}) >= 2
        replace(prices, dearer(good).replace("99.00", "98.00"))
        refused = rater.until_pass(lambda found: found["result"] == "prices")
        assert "raise `revision` in the book" in refused["message"]
        assert rater.end(signal.SIGTERM) == 0
    replace(prices, dearer(good))
    before = statements(url, "*")
    once(url)
    assert statements(url, "*") == before


def test_usage_without_a_price_is_told_once_counted_at_every_pass_and_holds_up_nobody(url: str, tmp_path: Path) -> None:
    fill(url, [R(7, quantity=62_345), R(9, quantity=5)])
    (tmp_path / "contracts.yaml").write_text(OWN, encoding="utf-8")
    (port,) = free_ports(1)
    with Rater(*QUICK, "--store", url, "--metrics-address", str(port)) as rater:
        first, second = rater.until_pass(), rater.until_pass()
        assert (first["result"], wrote(first), first["months"][0]["reasons"]) == ("incomplete", 1, {"no_contract": 1})
        assert (second["result"], wrote(second), second["months"][0]["failures"]) == ("incomplete", 0, 1)
        until(lambda: scrape(port).value("tally_rating_passes_total", {"result": "incomplete"}) >= 2)
        found = scrape(port)
        mine = {"month": "2026-11", "reason": "no_contract"}
        assert found.value("tally_rating_failures", mine) == found.total("tally_rating_failures") == 1
        assert probe(port, "/readyz")[0] == 200
        replace(tmp_path / "contracts.yaml", OWN + OWN.partition("\n")[2].replace("7", "9").replace("seven", "nine"))
        rater.until_pass(lambda found: found["result"] == "rated")
        until(lambda: scrape(port).value("tally_rating_failures", mine) == 0)
        assert rater.end(signal.SIGTERM) == 0
    (told,) = [line for line in rater.said if "no contract" in line]
    assert told.startswith("tally: organisation 9, period 2026-11: no contract in contracts.yaml")


def test_its_metrics_are_what_it_did(url: str) -> None:
    fill(url, [R(7, quantity=62_345), R(8, quantity=1)])
    (port,) = free_ports(1)
    with Rater(*QUICK, "--store", url, "--metrics-address", str(port)) as rater:
        rater.until_pass(unchanged)
        until(lambda: scrape(port).value("tally_rating_passes_total", {"result": "rated"}) >= 2)
        found = scrape(port)
        assert found.value("tally_rating_statements_total", {"outcome": "written"}) == 5
        assert found.value("tally_rating_organisations_total") >= 5
        assert found.value("tally_rating_lines_total") >= sum(len(row["lines.line_no"]) for row in statements(url))
        assert found.value("tally_rating_ready") == 1
        assert found.value("tally_rating_duration_seconds_count") == found.total("tally_rating_passes_total")
        assert found.value("tally_insert_duration_seconds_count", {"table": "statements"}) >= 1
        assert found.value("tally_store_away_seconds") == 0
        rated_at, delay = found.value("tally_rating_time_seconds"), found.value("tally_rating_delay_seconds")
        assert delay == pytest.approx(rated_at - 1_795_348_800, abs=600), "since noon of the 22nd of November 2026"
        assert "tally_ready" not in found.samples, "which is how a flow is known to run"
        assert rater.end(signal.SIGTERM) == 0


def test_without_a_month_it_rates_what_is_open_by_the_clock(url: str, tmp_path: Path) -> None:
    """Usage is of a month that is long over: it is read, and left as it is."""
    fill(url, [R(7, quantity=62_345, start=1_735_732_800_000_000)])  # of January 2025
    (tmp_path / "contracts.yaml").write_text(OWN.replace("2026-01-01", "2020-01-01"), encoding="utf-8")
    with Rater("--every", "50ms", "--json", "--store", url) as rater:
        first, second = rater.until_pass(), rater.until_pass()
        assert rater.end(signal.SIGTERM) == 0
    months = [month["period"] for month in first["months"]]
    assert months == sorted(months)
    assert "2025-01" not in months
    assert 2 <= len(months) <= 3
    assert [row["period_start"].strftime("%Y-%m") for row in statements(url)] == months
    assert (second["result"], wrote(second)) == ("rated", 0)


def test_an_embedded_store_is_free_between_passes(tmp_path: Path) -> None:
    url = f"chdb:{tmp_path / 'store'}"
    fill(url, [R(7, quantity=62_345)])
    with Rater("--period", "2026-11", "--every", "1h", "--json", "--store", url) as rater:
        assert wrote(rater.until_pass()) == 4
        assert len(statements(url)) == 4
        assert rater.end(signal.SIGTERM) == 0


def test_people_read_a_line_a_pass(url: str) -> None:
    fill(url, [R(7, quantity=62_345)])
    (port,) = free_ports(1)
    arguments = ["--period", "2026-11", "--every", "1h", "--metrics-address", str(port), "--store", url]
    process = Running(["rate", *arguments])
    with process as rater:
        until(lambda: probe(port, "/readyz")[0] == 200)
        assert rater.end(signal.SIGTERM) == 0
    (line,) = rater.out.splitlines()
    assert "  pass 1: 2026-11: 4 organisations rated; 4 statements written, 0 unchanged; complete to 2026-11-22" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--every", "10min", "--org", "7"], "--org is of a single run"),
        (["--every", "0s"], "--every: must be more than zero"),
        (["--every", "often"], "--every: 'often' cannot be read: a duration is written like"),
        (["--every", "1h", "--progress-every", "x"], "--progress-every: 'x' cannot be read"),
        ([], "no month given: say which with --period, as in 2026-11, or stay with --every 10min"),
        (["--every", "1h", "--book", "none.yaml"], "price book none.yaml: cannot be read"),
        (["--every", "1h", "--store", "chdb:./none"], "none"),
        (["--every", "1h", "--store-patience", "0s", "--store", "clickhouse://a@127.0.0.1:9/x"], "127.0.0.1:9"),
    ],
)
def test_what_keeps_it_from_beginning_ends_it(arguments: list[str], message: str) -> None:
    done = tally("rate", *arguments)
    assert done.returncode == (1 if "127.0.0.1:9" in message else 2)
    assert message in only_message(done.stderr)


def test_a_single_pass_sends_what_it_did_to_a_collector(url: str, tmp_path: Path) -> None:
    fill(url, [R(7, quantity=62_345), R(9, quantity=5)])
    (tmp_path / "contracts.yaml").write_text(OWN, encoding="utf-8")
    flags = ("--period", "2026-11", "--store", url)
    with Collector() as collector:
        done = tally("rate", *flags, "--otlp-endpoint", collector.url)
        assert done.returncode == 1
        assert collector.total("tally.rating.failures") == collector.total("tally.rating.passes") == 1
        assert collector.total("tally.rating.statements") == collector.total("tally.rating.organisations") - 1 == 1
        assert collector.total("tally.rating.time") > 1_795_348_800
        assert not {"tally.rating.ready", "tally.ready", "tally.events"} & collector.metrics.keys()
        sent = len(collector.requests)
        tally("rate", *flags, "--org", "7", "--otlp-endpoint", collector.url)
        assert len(collector.requests) == sent, "one organisation's rating says nothing of the month"
