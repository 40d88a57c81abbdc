"""A rater that stays and is stopped, killed, or left without its store in a pass: it ends like an undisturbed one."""

import signal
import time
from pathlib import Path

import pytest

from tally.draining import GRACE, HUNG
from tests.flow.running import DEADLINE, free_ports, until
from tests.rater.raters import (
    MANY,
    QUICK,
    Rater,
    drain,
    end,
    fill,
    held_in_a_pass,
    many,
    once,
    passes,
    prices,
    server,
    statements,
    unchanged,
    url,
    wrote,
)
from tests.store.samples import R
from tests.store.serving import ServerProcess
from tests.telemetry.scraping import probe, scrape

__all__ = ["prices", "server", "url"]


def test_a_store_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    flags = ("--metrics-address", str(port), "--stall-after", "100ms")
    with ServerProcess(tmp_path / "store") as server:
        fill(server.url, [R(7, quantity=62_345)])
        with Rater(*QUICK, "--store", server.url, *flags) as rater:
            rater.until_pass(unchanged)
            server.kill()
            rater.until(lambda line: "waiting since" in line)
            until(lambda: [one["what"] for one in probe(port, "/readyz")[1]["problems"]] == ["store"])
            assert probe(port, "/healthz")[0] == 200
            assert scrape(port).value("tally_store_away_seconds") > 0
            number = len(rater.passes)
            server.start()
            fill(server.url, [R(7, quantity=99_999, last=120)], next_offset=150)
            rater.until_pass(lambda found: wrote(found) > 0)
            assert {found["result"] for found in rater.passes[number:]} == {"rated"}, "a pass waits, and does not fail"
            until(lambda: scrape(port).value("tally_store_away_seconds") == 0)
            server.kill()
            rater.until(lambda line: "waiting since" in line)
            assert rater.end(signal.SIGTERM) == 0
        assert rater.said[-1].startswith("tally: stopped while the store was away")


def test_a_stop_in_a_pass_ends_it_after_the_batch_under_way(url: str, tmp_path: Path) -> None:
    many(url)
    with held_in_a_pass(url, tmp_path, 2_500) as rater:
        assert end(rater, signal.SIGTERM) == 0
    (found,) = passes(tmp_path)
    assert found["result"] == "stopped"
    assert 2_500 <= found["months"][0]["organisations"] == wrote(found) < MANY
    assert len(statements(url, "org_id")) == wrote(found), "what was rated is kept, and nothing else"
    finish_and_compare(url)


def test_a_rater_that_is_killed_in_a_pass_goes_on_and_ends_like_a_single_one(url: str, tmp_path: Path) -> None:
    many(url)
    with held_in_a_pass(url, tmp_path, 2_500) as rater:
        assert end(rater, signal.SIGKILL) == -signal.SIGKILL
    assert 0 < len(statements(url, "org_id")) < MANY
    finish_and_compare(url)


def test_two_at_once_do_no_harm(url: str) -> None:
    def rows(last: int) -> list[R]:
        return [R(org, quantity=50_000 + last * org, last=last) for org in range(100, 400)]

    fill(url, rows(10))
    with Rater(*QUICK, "--store", url) as one, Rater(*QUICK, "--store", url) as other:
        for last in (20, 30):
            fill(url, rows(last), next_offset=100 + last)
        for rater in (one, other):
            rater.until_pass(unchanged)
        assert [rater.end(signal.SIGTERM) for rater in (one, other)] == [0, 0]
        assert {found["result"] for rater in (one, other) for found in rater.passes} == {"rated"}
    once(url)
    undisturbed = f"{url}_undisturbed"
    fill(undisturbed, rows(30), next_offset=130)
    once(undisturbed)
    assert statements(url) == statements(undisturbed)


def test_a_store_that_dies_in_a_pass_leaves_nothing_half_done(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "store") as server:
        many(server.url)
        with held_in_a_pass(server.url, tmp_path, 2_500) as rater:
            server.kill()
            server.start()
            drain(rater)
            until(lambda: any(unchanged(found) for found in passes(tmp_path)))
            rater.send_signal(signal.SIGTERM)
            assert rater.wait(DEADLINE) == 0
        first = passes(tmp_path)[0]
        assert (first["pass"], first["result"]) == (1, "rated"), "the pass waits or is begun anew, and does not fail"
        assert first["months"][0]["kept"]["unchanged"] + wrote(first) == MANY + 3
        finish_and_compare(server.url)


@pytest.mark.slow
def test_a_rater_whose_store_is_frozen_gives_up_in_time(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "store") as server:
        many(server.url)
        with held_in_a_pass(server.url, tmp_path, 2_500) as rater:
            server.freeze()
            began = time.monotonic()
            assert end(rater, signal.SIGTERM) == 1
            assert GRACE < time.monotonic() - began < GRACE + HUNG + 8
        server.thaw()
        finish_and_compare(server.url)


def finish_and_compare(url: str) -> None:
    """Let another rater finish, and compare what is stored with what one undisturbed pass stores."""
    with Rater(*QUICK, "--store", url) as rater:
        rater.until_pass(unchanged)
        assert rater.end(signal.SIGTERM) == 0
    undisturbed = f"{url}_undisturbed"
    many(undisturbed)
    once(undisturbed)
    found = statements(undisturbed)
    assert len(found) == MANY + 3
    assert statements(url) == found
