"""Two countings that are not the same: one fault a law, found, and taken out by what the page says."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from sinks.store import Store, open_store
from tally.cli import run
from tests.flow.traffic import write_log
from tests.reconcile.stores import alter, delete
from tests.runbook.files import DATA, Files
from tests.runbook.oncall import OnCall
from tests.runbook.page import carries_out
from tests.runbook.scenes import holds

MONTH: Final = ("--period", "2026-11", "--book", "prices.yaml", "--contracts", "contracts.yaml")
OF_FIRST: Final = "topic = 'usage' AND partition = '0'"
FIRST_ROW: Final = (
    f"{OF_FIRST} AND (org_id, category, window_start, segment) IN (SELECT org_id, category, window_start, segment "
    f"FROM usage_windows WHERE {OF_FIRST} AND quantity > 0 AND segment = 0 ORDER BY ALL LIMIT 1)"
)
ONE_MINUTE: Final = "(minute, category) IN (SELECT minute, category FROM control_totals ORDER BY ALL LIMIT 1)"
FIRST_LETTER: Final = f"{OF_FIRST} AND offset = (SELECT min(offset) FROM dead_letters WHERE {OF_FIRST})"
Plant = Callable[[Store], None]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Give a month that is counted, replayed in part, and reported by its producers; nothing is wrong with it."""
    files = Files(tmp_path_factory.mktemp("sound"))
    for number in range(2):
        write_log(files.topic / str(number), 400, seed=number)
    files.count()
    command = ["deadletters", "replay", "--reason", "conflicting_duplicate", "--accept", "--store", files.store]
    assert run(command) == 0
    with open_store(files.store) as store:
        store.command(
            "INSERT INTO control_totals SELECT topic, category, toStartOfMinute(window_start), 'relay', 'one', 1, "
            "sum(events), sum(quantity), now64(6) FROM usage_windows FINAL WHERE topic = 'usage' "
            "GROUP BY topic, category, toStartOfMinute(window_start)"
        )
    return files


@pytest.fixture
def files(sound: Files, tmp_path: Path, on_call: OnCall) -> Files:
    """Give a copy of it, with the prices beside it."""
    copy = sound.copied(tmp_path)
    for name in ("prices.yaml", "contracts.yaml"):
        shutil.copy(DATA / name, name)
    on_call.works_with(copy.env)
    return copy


def plant(files: Files, fault: Plant) -> None:
    with open_store(files.store, create=False) as store:
        fault(store)


def differing(on_call: OnCall, *more: str) -> set[str]:
    """Reconcile as the page says, and return the laws that do not hold."""
    answer = on_call.type("tally reconcile", "--json", *more)
    found = {law["law"] for law in json.loads(answer.out)["laws"] if law["counts"].get("difference")}
    assert answer.status == (1 if found else 0)
    return found


ROWS: Final[dict[str, tuple[Plant, set[str]]]] = {
    "a usage row is gone": (lambda store: delete(store, "usage_windows", FIRST_ROW), {"accepted", "quantity"}),
    "a usage row is altered": (
        lambda store: alter(store, "usage_windows", "quantity = quantity + 1", FIRST_ROW),
        {"quantity", "control"},
    ),
    "a dead letter is gone": (lambda store: delete(store, "dead_letters", FIRST_LETTER), {"rejected"}),
    "late is miscounted": (lambda store: alter(store, "progress", "late = late + 1", OF_FIRST), {"late"}),
}
"""What is planted, and the laws that find it. A minute's duplicates may explain to `control` what is missing of it."""
LONG: Final = {"a usage row is altered", "late is miscounted"}


@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in ROWS]
)
@carries_out(
    "Reconcile differs",
    "tally reconcile",
    "tally recount --topic",
    "tally remeter run",
    "tally remeter switch",
)
def test_rows_that_are_not_what_the_log_says(fault: str, files: Files, on_call: OnCall) -> None:
    made, laws = ROWS[fault]
    before = files.used()
    plant(files, made)
    assert differing(on_call) == laws
    assert on_call.type("tally recount --topic").status == 1
    again = on_call.type("tally remeter run", "--json")
    assert again.status == 0, again.said
    name = json.loads(again.out)["remeter"]
    assert on_call.type("tally remeter switch", also={"5f3a09c1": name}).status == 0
    assert files.used() == before
    holds(on_call)


@carries_out("Reconcile differs", "tally reconcile", "tally recount")
def test_producers_that_sent_what_never_arrived(files: Files, on_call: OnCall) -> None:
    """The rows are right, as the recount says: so the other side of the law is asked."""
    plant(files, lambda store: alter(store, "control_totals", "events = events + 1000", ONE_MINUTE))
    answer = on_call.type("tally reconcile")
    assert answer.status == 1
    found = json.loads(on_call.call("reconcile", "--json").out)
    control = next(law for law in found["laws"] if law["law"] == "control")
    (finding,) = control["findings"]
    assert {"minute", "category"} <= finding["place"].keys()
    assert finding["place"]["category"] in answer.said
    assert on_call.type("tally recount", "--topic", "usage", "--partition", "0").status == 0
    plant(files, lambda store: alter(store, "control_totals", "events = events - 1000", ONE_MINUTE))
    holds(on_call)


@carries_out("Reconcile differs", "tally reconcile", "tally deadletters replay")
def test_the_rows_of_replayed_letters_are_gone(files: Files, on_call: OnCall) -> None:
    before = files.used()
    plant(files, lambda store: delete(store, "usage_windows", "topic = 'replay:usage'"))
    assert files.used() < before
    assert "replays" in differing(on_call)
    for _ in range(2):
        assert on_call.type("tally deadletters replay", "--reason", "conflicting_duplicate", "--accept").status == 0
        assert files.used() == before
    holds(on_call)


@carries_out("Reconcile differs", "tally reconcile", "tally rate")
def test_statements_that_were_changed_by_hand(files: Files, on_call: OnCall) -> None:
    assert on_call.type("tally rate", *MONTH).status == 0
    right = billed(files)

    def change(store: Store) -> None:
        alter(store, "statements", "`lines.quantity` = arrayMap(q -> q + 1, `lines.quantity`)", "org_id = 1")
        alter(store, "statements", "total = total + 1", "org_id = 2")

    plant(files, change)
    assert differing(on_call) == {"lines", "totals"}
    # Rated again they stay, since nothing that they were made of has changed; a later revision makes them anew.
    on_call.type("tally rate", *MONTH)
    assert billed(files) != right
    prices = Path("prices.yaml")
    text = prices.read_text(encoding="utf-8")
    prices.write_text(text.replace("\nrevision: 1\n", "\nrevision: 2\n"), encoding="utf-8")
    assert on_call.type("tally rate", *MONTH).status == 0
    assert billed(files) == right
    holds(on_call)


def billed(files: Files) -> list[tuple[object, ...]]:
    with open_store(files.store, create=False) as store:
        return store.query("SELECT org_id, total, `lines.quantity` FROM statements FINAL ORDER BY org_id")
