"""A fixed log and the hash of its answer: an answer that changes must raise METER_VERSION, and start a generation."""

import hashlib
import random

from schemas.metering import METER_VERSION
from tests import oracle
from tests.metering.logs import EPOCH, SECOND, end_of
from tests.metering.simulation import settings_of, stable, undisturbed

ANSWERS = {1: "578ba0550bbe5a1fee3cf52ee8a2dcaced4320fade25c607d02c242eabb0e2a0"}
"""The hash by METER_VERSION. Never edit an entry: add one, with the version raised."""


def fixed_log(events: int, *, broker: bool) -> list[oracle.Record]:
    """A log with late, repeated, conflicting, rejected, ancient and future events, the same for ever."""
    chance = random.Random(20_261_101)
    records: list[oracle.Record] = []
    recent: list[oracle.Event] = []
    now = EPOCH
    for number in range(events):
        now += chance.choice([0, 0, 1, 2, 11, 61]) * SECOND
        made = oracle.Event(
            org=chance.randrange(1, 5),
            event_id=None if chance.random() < 0.05 else f"event-{number}",
            category=chance.choice(["error", "span", "replay"]),
            project=chance.randrange(3),
            quantity=chance.choice([0, 1, 3, 2**40]),
            timestamp=now - chance.choice([0, 1, 30, 200, 5000, 100 * 86_400, -400]) * SECOND,
            not_billable="filtered" if chance.random() < 0.05 else None,
            rejected="not_json" if chance.random() < 0.02 else None,
        )
        if recent and chance.random() < 0.1:
            made = chance.choice(recent)
        recent = [*recent[-20:], made]
        records.append(oracle.Record(number * 3, now if broker else None, (made,)))
    return records


def answer() -> str:
    """Hash the rows, dead letters and progress of the fixed log, by a broker's clock and by a file's."""
    digest = hashlib.sha256()
    for broker in (True, False):
        records = fixed_log(4000, broker=broker)
        rules = oracle.Rules(group_by_project=True, as_of=None if broker else EPOCH)
        store = undisturbed(records, settings_of(rules), end_of(records))
        for key, row in sorted(store.rows.items()):
            digest.update(repr((key, row)).encode())
        for at, letter in sorted(store.letters.items()):
            digest.update(repr((at, letter.reason, letter.clock)).encode())
        progress = stable(store.progress)
        digest.update(repr((progress.next_offset, progress.mark, progress.clock, progress.watermark)).encode())
        digest.update(repr(sorted(progress.counts.as_json().items())).encode())
    return digest.hexdigest()


def test_an_answer_that_changes_raises_the_version() -> None:
    assert ANSWERS[METER_VERSION] == answer()
