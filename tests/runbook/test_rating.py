"""A rater that stays, whose price file is broken, and one that finds usage without a price."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flow.running import free_ports
from tests.rater.raters import QUICK, Rater, fill, unchanged, wrote
from tests.runbook.files import DATA
from tests.runbook.oncall import OnCall
from tests.runbook.page import carries_out
from tests.store.samples import R
from tests.store.serving import ServerProcess
from tests.telemetry.scraping import probe

SIGNED = "contracts:\n  - {org_id: 7, id: seven, plan: business, currency: USD, from: 2026-01-01}\n"


@pytest.fixture
def url(tmp_path: Path, on_call: OnCall) -> Iterator[str]:
    """Give a served store with usage of two organisations; prices.yaml and contracts.yaml are in the folder."""
    for name in ("prices.yaml", "contracts.yaml"):
        shutil.copy(DATA / name, name)
    with ServerProcess(tmp_path / "store") as server:
        fill(server.url, [R(7, quantity=62_345), R(42, quantity=5)])
        on_call.works_with(
            {"TALLY_STORE": server.url, "TALLY_BOOK": "prices.yaml", "TALLY_CONTRACTS": "contracts.yaml"}
        )
        yield server.url


@carries_out("Rating stands still", "tally prices check")
def test_a_price_book_that_is_broken_while_the_rater_stays(url: str, on_call: OnCall) -> None:
    (port,) = free_ports(1)
    whole = Path("prices.yaml").read_text(encoding="utf-8")
    with Rater(*QUICK, "--metrics-address", str(port)) as rater:
        rater.until_pass(unchanged)
        Path("prices.yaml").write_text(whole + "plans: twice\n", encoding="utf-8")
        rater.until_pass(lambda found: found["result"] == "prices")
        fill(url, [R(7, quantity=99_999, last=120)], next_offset=150)
        (problem,) = probe(port, "/readyz")[1]["problems"]
        assert problem["what"] == "pass"
        checked = on_call.type("tally prices check")
        assert checked.status != 0
        assert "prices.yaml:" in problem["message"]
        assert problem["message"].rpartition("prices.yaml:")[2] in checked.said

        Path("prices.yaml").write_text(whole, encoding="utf-8")
        assert on_call.type("tally prices check").status == 0
        found = rater.until_pass(lambda found: found["result"] == "rated")
        assert wrote(found) > 0, "what came meanwhile is in it"
        assert rater.end(signal.SIGTERM) == 0


@carries_out("Usage without a price", "tally rate --period 2026-11", "tally rate --period 2026-11 --org 42")
@pytest.mark.usefixtures("url")
def test_usage_of_somebody_that_nobody_has_signed(on_call: OnCall) -> None:
    Path("contracts.yaml").write_text(SIGNED, encoding="utf-8")
    with Rater(*QUICK) as rater:
        found = rater.until_pass()
        assert (found["result"], wrote(found)) == ("incomplete", 1), "everybody else's statement is written"
        every = on_call.type("tally rate --period 2026-11")
        assert (every.status, every.err.count("organisation 42, period 2026-11: no contract")) == (1, 1)
        one = on_call.type("tally rate --period 2026-11 --org 42")
        assert (one.status, one.err.count("organisation 42, period 2026-11: no contract")) == (1, 1)

        Path("contracts.yaml").write_text(SIGNED + SIGNED.partition("\n")[2].replace("7", "42"), encoding="utf-8")
        assert wrote(rater.until_pass(lambda found: found["result"] == "rated")) == 1
        assert rater.end(signal.SIGTERM) == 0
