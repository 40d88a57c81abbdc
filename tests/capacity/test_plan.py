"""The capacity model: its sums, against a simulation of the same thing in small steps, and the page that shows it."""

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.dedupe import KEEP_FILL_PERCENT, SLOT_BYTES, DedupeIndex
from schemas.errors import SettingsError
from tally.capacity.inputs import INPUTS, defaults, read_value
from tally.capacity.model import Result, estimate
from tally.capacity.skew import simulate, sizes
from tests.flow.processes import ok, tally
from tests.repository.code import ROOT

PAGE = ROOT / "docs" / "SCALE.md"


def results(**changes: str) -> dict[str, Result]:
    values = defaults() | {name: Fraction(Decimal(text)) for name, text in changes.items()}
    return {f"{one.part}: {one.name}": one for one in estimate(values)}


def number(found: dict[str, Result], name: str) -> Decimal:
    return Decimal(found[name].value)


@given(
    load=st.integers(5, 80).map(lambda share: Fraction(share, 100)),
    horizon=st.integers(1, 30).map(lambda minutes: minutes * 60),
    start=st.integers(1, 60),
)
def test_recovery_is_what_a_second_by_second_simulation_gives(load: Fraction, horizon: int, start: int) -> None:
    # One worker that is loaded exactly: the rate that a day's mean gives is load × its capacity.
    values = defaults() | {
        "events_per_core": Fraction(100_000),
        "utilisation": load,
        "peak": Fraction(1),
        "events_per_day": load * 100_000 * 86_400,
        "dedupe_horizon": Fraction(horizon),
        "start_seconds": Fraction(start),
    }
    found = {one.name: one.value for one in estimate(values)}
    assert found["workers (one process and one core each)"] == 1
    replay = int(found["log read again after a kill, at the most"])
    behind, seconds = load * 100_000 * replay, 0
    while behind > 0:
        seconds += 1
        behind += load * 100_000
        if seconds > start:
            behind -= 100_000
    told = found["from the kill to caught up, at the peak"]
    assert abs(seconds - Decimal(told)) <= 2


@given(factor=st.integers(2, 50))
def test_more_events_never_need_less(factor: int) -> None:
    one, more = results(events_per_day="1e9"), results(events_per_day=str(factor * 10**9))
    for name in ("memory: their memory, in all workers", "kafka: brokers", "clickhouse: shards", "kafka: log on disk"):
        assert number(more, name) >= number(one, name)


def test_there_are_never_more_open_rows_than_events() -> None:
    found = results(events_per_day="86400", peak="1", organisations="1e6")
    assert number(found, "memory: open usage rows") == 60 * 4
    assert number(found, "clickhouse: usage rows a day") == 86_400


def test_the_bytes_of_an_id_are_what_the_index_takes_at_its_emptiest() -> None:
    emptiest = SLOT_BYTES * 100 * 3 // 2 // KEEP_FILL_PERCENT
    assert emptiest <= int(INPUTS["bytes_per_id"].value) + 1
    index = DedupeIndex(1 << 30, 10)
    assert index.nbytes > 0


def test_salting_lets_more_workers_help_and_equal_organisations_need_none() -> None:
    unequal = sizes(20_000, Decimal("1.1"))
    plain, salted = (simulate(unequal, 32, salting=salting) for salting in (False, True))
    assert plain.salted == 0
    assert salted.salted > 0
    assert salted.workers_in_use > plain.workers_in_use * 2
    alike = simulate(sizes(20_000, Decimal(0)), 32, salting=True)
    assert alike.salted == 0
    assert alike.largest_over_mean < Decimal("1.2")


def test_the_largest_partition_is_the_one_of_the_largest_organisation() -> None:
    found = simulate([90, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 10, salting=False)
    assert Decimal("9.0") <= found.largest_over_mean <= Decimal("10.0")


@pytest.mark.parametrize("text", ["nothing=1", "peak=0", "peak=-1", "peak=much", "peak=1e99", "utilisation=1"])
def test_a_wrong_input_is_refused_with_what_can_be_written(text: str) -> None:
    with pytest.raises(SettingsError, match=text.partition("=")[0]):
        read_value(*text.split("=", 1))


def test_the_command_prints_what_the_page_shows() -> None:
    shown = re.findall(r"```text\n\$ (tally plan[^\n]*)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert shown
    for command, printed in shown:
        done = tally(*command.split()[1:])
        assert done.returncode == 0, done.stderr
        lines = [line.rstrip() for line in done.stdout.splitlines()]
        assert lines == printed.splitlines(), command


def test_every_line_says_how_it_was_made() -> None:
    rows = ok("plan", "--events-per-day", "20e9")["rows"]
    assert all(row["from"] for row in rows)
    assert {row["part"] for row in rows} == {"load", "memory", "workers", "recovery", "kafka", "clickhouse", "cost"}
