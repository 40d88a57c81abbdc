"""A price book with a wrong price that has rated a month, and bills that are held back while usage goes on."""

import json
import shutil
from pathlib import Path

import pytest

from sinks.store import open_store
from tests.flow.traffic import write_log
from tests.runbook.files import DATA, Files
from tests.runbook.oncall import OnCall
from tests.runbook.page import carries_out
from tests.runbook.scenes import holds

RIGHT = "amount: 89.00"
WRONG = "amount: 890.00"


@pytest.fixture
def files(tmp_path: Path, on_call: OnCall) -> Files:
    """Give a month of traffic that is counted; prices.yaml and contracts.yaml are in the folder."""
    made = Files(tmp_path)
    for number in range(2):
        write_log(made.topic / str(number), 300, seed=number)
    made.count()
    for name in ("prices.yaml", "contracts.yaml"):
        shutil.copy(DATA / name, name)
    on_call.works_with(made.env)
    return made


def write_book(name: str, revision: int, fee: str) -> None:
    text = (DATA / "prices.yaml").read_text(encoding="utf-8")
    assert RIGHT in text
    assert "\nrevision: 1\n" in text
    changed = text.replace(RIGHT, fee).replace("\nrevision: 1\n", f"\nrevision: {revision}\n")
    Path(name).write_text(changed, encoding="utf-8")


def billed(files: Files) -> dict[int, str]:
    """Return the total of every statement by organisation."""
    with open_store(files.store, create=False) as store:
        return {org: f"{total:.2f}" for org, total in store.query("SELECT org_id, total FROM statements FINAL")}


MONTH = ("--period", "2026-11")
AGREED = ("--contracts", "contracts.yaml")


@carries_out(
    "Wrong prices loaded",
    "tally prices check",
    "tally prices diff",
    "tally rate --period 2026-11 --org 42",
    "tally rate --period 2026-11 --book",
    "tally reconcile",
)
def test_a_fee_of_ten_times_what_was_agreed(files: Files, on_call: OnCall) -> None:
    write_book("prices.yaml", 1, RIGHT)
    assert on_call.call("rate", *MONTH, "--book", "prices.yaml", *AGREED).status == 0
    right = billed(files)
    write_book("wrong-prices.yaml", 2, WRONG)
    assert on_call.call("rate", *MONTH, "--book", "wrong-prices.yaml", *AGREED).status == 0
    wrong = billed(files)
    assert wrong[42] != right[42]

    # The older book changes nothing any more; the same revision with other content is refused.
    assert "from a newer price book" in on_call.call("rate", *MONTH, "--book", "prices.yaml", *AGREED).said
    assert billed(files) == wrong
    write_book("prices.yaml", 2, RIGHT)
    refused = on_call.call("rate", *MONTH, "--book", "prices.yaml", *AGREED)
    assert refused.status != 0
    assert "revision" in refused.err
    assert billed(files) == wrong

    write_book("prices.yaml", 3, RIGHT)
    assert on_call.type("tally prices check").status == 0
    changes = on_call.type("tally prices diff")
    assert "890.00" in changes.said
    assert "89.00" in changes.said
    one = on_call.type("tally rate --period 2026-11 --org 42", "--json")
    assert one.status == 0
    assert json.loads(one.out)["statement"]["total"] == right[42]
    assert billed(files) == {**wrong, 42: right[42]}
    assert on_call.type("tally rate --period 2026-11 --book").status == 0
    assert billed(files) == right
    answer = on_call.type("tally reconcile")
    assert (answer.status, answer.err) == (0, ""), answer.said
    assert "0 differences in" in answer.said


@carries_out("Hold the bills back", "tally rate")
def test_usage_goes_on_and_no_statement_is_written(files: Files, on_call: OnCall) -> None:
    """The commands that stop the rater are another program's; here nobody rates."""
    assert on_call.call("rate", *MONTH, "--book", "prices.yaml", *AGREED).status == 0
    before = billed(files)
    used = files.used()
    write_log(files.topic / "2", 300, seed=2)
    files.count()
    assert files.used() > used
    assert on_call.call("deadletters", "replay", "--reason", "conflicting_duplicate", "--accept").status == 0
    assert "stale" in on_call.call("reconcile").said
    assert billed(files) == before

    # To go on: what came meanwhile is in it.
    assert on_call.type("tally rate", *MONTH, "--book", "prices.yaml", *AGREED).status == 0
    assert billed(files) != before
    answer = on_call.call("reconcile")
    assert answer.status == 0
    assert "stale" not in answer.said
    holds(on_call)
