"""What a replay goes over is never kept again, and what is kept of an event is what the batch says of it."""

import random

import pytest

from dataflows.meter import Meter
from schemas.progress import Mark, Progress
from tests.metering.logs import EPOCH, SECOND
from tests.metering.simulation import LOG, batch_of, kept_of, settings_of
from tests.oracle import Event, Kept, Record, Rules

RULES = Rules(group_by_project=True, kept=("span",))
RECORDS = [
    Record(
        offset,
        EPOCH + offset * SECOND,
        (
            Event(1, f"a{offset}", "span", 7, 3, EPOCH, '{"region":"eu"}', value='"u"', amount="0.5"),
            Event(1, f"b{offset}", "error", 7, 3, EPOCH),
            Event(2, f"c{offset}", "span", 8, 0, EPOCH + offset, amount="1"),
            Event(1, f"a{offset}", "span", 7, 3, EPOCH, '{"region":"eu"}', value='"u"', amount="0.5"),
            Event(1, f"d{offset}", "span", rejected="missing_field"),
        ),
    )
    for offset in range(10, 40)
]


@pytest.mark.parametrize("seed", range(6))
def test_only_what_was_not_counted_before_is_kept(seed: int) -> None:
    """The replay starts at 10, rows are folded from 20 on, and 30 is where the last run stopped."""
    chance = random.Random(seed)
    progress = Progress(LOG, 1, "f", 0, 30, Mark(10, None, None, 20))
    meter = Meter(settings_of(RULES), progress, broker_clock=True)
    found: dict[tuple[int, int], Kept] = {}
    at = 0
    while at < len(RECORDS):
        size = chance.choice([1, 3, 7, 30]) if seed else len(RECORDS)
        taken = RECORDS[at : at + size]
        at += len(taken)
        meter.add(batch_of(taken, taken[-1].offset + 1, RULES.kept))
        if chance.random() < 0.5:
            found.update(kept_of(meter.flush()))
    found.update(kept_of(meter.flush()))
    assert found == {
        (offset, index): kept
        for offset in range(30, 40)
        for index, kept in (
            (0, Kept(1, "span", 7, EPOCH, 3, '{"region":"eu"}', '"u"', "0.5")),
            (2, Kept(2, "span", 8, EPOCH + offset, 0, "", "", "1")),
        )
    }
    assert meter.flush().kept is None


def test_without_a_declaration_nothing_is_kept() -> None:
    meter = Meter(settings_of(Rules()), Progress(LOG, 1, "f", 0, 0, Mark(0, None, None, 0)), broker_clock=True)
    meter.add(batch_of(RECORDS, 40, ()))
    flush = meter.flush()
    assert flush.kept is None
    assert len(flush.rows)
