"""What the meter will have to answer, worked out by the generator from what it knows: a second opinion, not the meter.

A repeat is known by the number of the event that it repeats, so no id is ever hashed or looked up: a ring over the last
numbers holds when each last occurred, and with which quantity.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataflows.compiled import compiled
from schemas.log import Int64s
from schemas.metering import MeterSettings
from schemas.verdicts import (
    ACCEPTED,
    CONFLICTING_DUPLICATE,
    DUPLICATE,
    FROM_THE_FUTURE,
    NOT_BILLABLE,
    REASONS,
    REJECTED,
    TOO_OLD,
)
from tally.generate import plan as p

NONE: Final = -(2**63)
FOR_EVER: Final = 2**40
DAY: Final = 86_400_000_000

# Places in the `rules` array.
WINDOW, LATENESS, BUCKET, HORIZON, MAX_FUTURE, MAX_AGE, AS_OF, BROKER_CLOCK = range(8)

# Columns of the counts of a partition; the reasons and the outcomes follow.
EVENTS, ACCEPTED_EVENTS, LATE_EVENTS, DUPLICATES, QUANTITY, FIRST_REASON = range(6)
FIRST_OUTCOME: Final = FIRST_REASON + len(REASONS)
COUNTS_SIZE: Final = FIRST_OUTCOME + 1 + p.OUTCOMES

FIRST_ROOM: Final = 1 << 16


@compiled
def judge(
    plan: Int64s,
    verdict: NDArray[np.uint8],
    codes: Int64s,
    rules: Int64s,
    clocks: Int64s,
    counts: Int64s,
    occurred: Int64s,
) -> None:
    """Reach the verdict on each event in the order sent, by the rules of metering, and count it in its partition.

    `codes`: the verdict on each malformed variant. `clocks`: by partition, the largest timestamp of the admitted events
    so far. `occurred`: by number (modulo its length), bucket of the clock and quantity of the latest occurrence.

    With a broker's clock, buckets and lateness are unknown here: repeats come fast enough to be within any horizon, the
    two kinds that the time checks refuse are off by a day or more, and no other is near; nothing is counted as late.
    """
    slots = occurred.shape[0]
    broker = rules[BROKER_CLOCK] != 0
    for row in range(plan.shape[0]):
        number = plan[row, p.NUMBER]
        kind = plan[row, p.KIND]
        at = plan[row, p.TIMESTAMP]
        partition = plan[row, p.PARTITION]
        slot = number % slots
        count = counts[partition]
        count[EVENTS] += 1
        if kind > p.CONFLICT:
            occurred[slot, 0] = NONE
        if kind == p.MALFORMED:
            verdict[row] = codes[plan[row, p.VARIANT]]
            count[FIRST_REASON + verdict[row] - REJECTED] += 1
            continue
        refused = 0
        if broker:
            if kind == p.FUTURE:
                refused = FROM_THE_FUTURE
            elif kind == p.TOO_OLD:
                refused = TOO_OLD
        elif rules[AS_OF] != NONE:
            if at > rules[AS_OF] + rules[MAX_FUTURE]:
                refused = FROM_THE_FUTURE
            elif at < rules[AS_OF] - rules[MAX_AGE]:
                refused = TOO_OLD
        if refused != 0:
            verdict[row] = refused
            count[FIRST_REASON + refused - REJECTED] += 1
            continue
        largest = clocks[partition]
        clock = at if largest == NONE else largest
        clocks[partition] = max(clock, at)
        if kind == p.NOT_BILLABLE:
            verdict[row] = NOT_BILLABLE
            count[FIRST_OUTCOME + plan[row, p.OUTCOME]] += 1
            continue
        bucket = 0 if broker else clock // rules[BUCKET]
        quantity = plan[row, p.QUANTITY]
        before, as_before = occurred[slot, 0], occurred[slot, 1] == quantity
        occurred[slot, 0] = bucket
        occurred[slot, 1] = quantity
        if before != NONE and bucket <= before + rules[HORIZON]:
            if as_before:
                verdict[row] = DUPLICATE
                count[DUPLICATES] += 1
            else:
                verdict[row] = CONFLICTING_DUPLICATE
                count[FIRST_REASON + CONFLICTING_DUPLICATE - REJECTED] += 1
            continue
        verdict[row] = ACCEPTED
        count[ACCEPTED_EVENTS] += 1
        count[QUANTITY] += quantity
        closed = at - at % rules[WINDOW] + rules[WINDOW]
        if not broker and largest != NONE and closed <= largest - rules[LATENESS]:
            count[LATE_EVENTS] += 1


@compiled
def add_totals(
    plan: Int64s,
    verdict: NDArray[np.uint8],
    categories: int,
    orgs: int,
    months: Int64s,
    by_month: bool,
    keys: Int64s,
    values: Int64s,
    used: int,
) -> int:
    """Add the accepted events to the totals of their (period, organisation, category); return how many there are.

    An open-addressing table that has room for them; a key is the three in one number, −1 an empty slot. `months`: by
    day since 1970, the number of its month's first day.
    """
    mask: int = keys.shape[0] - 1
    for row in range(plan.shape[0]):
        if verdict[row] != ACCEPTED:
            continue
        day = plan[row, p.TIMESTAMP] // DAY
        period = months[day] if by_month else day
        key = (period * orgs + plan[row, p.ORG_INDEX]) * categories + plan[row, p.CATEGORY]
        at = p.mix(key) & mask
        while keys[at] not in (-1, key):
            at = (at + 1) & mask
        if keys[at] == -1:
            keys[at] = key
            used += 1
        values[at, 0] += plan[row, p.QUANTITY]
        values[at, 1] += 1
    return used


def rules_of(settings: MeterSettings, *, broker_clock: bool) -> Int64s:
    """Return the metering settings as the array that `judge` takes."""
    rules = np.zeros(8, dtype=np.int64)
    rules[WINDOW], rules[LATENESS] = settings.window, settings.allowed_lateness
    rules[BUCKET] = settings.bucket
    rules[HORIZON] = FOR_EVER if broker_clock else settings.horizon_buckets
    rules[MAX_FUTURE], rules[MAX_AGE] = settings.max_future, settings.max_age
    rules[AS_OF] = NONE if settings.as_of is None else settings.as_of
    rules[BROKER_CLOCK] = broker_clock
    return rules


class Totals:
    """Quantity and events accepted by (period, organisation, category): a table that grows with what is in it."""

    def __init__(self, orgs: int, categories: int, *, by_month: bool) -> None:
        self._orgs, self._categories, self._by_month = orgs, categories, by_month
        days = np.arange(0, 47_482, dtype="datetime64[D]")  # 1970 to 2099
        self._months: Int64s = days.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        self._keys, self._values = _empty(FIRST_ROOM)
        self._used = 0

    def add(self, plan: Int64s, verdict: NDArray[np.uint8]) -> None:
        """Add a chunk's accepted events."""
        while 2 * (self._used + len(plan)) > len(self._keys):
            self._grow()
        self._used = add_totals(
            plan,
            verdict,
            self._categories,
            self._orgs,
            self._months,
            self._by_month,
            self._keys,
            self._values,
            self._used,
        )

    def rows(self) -> list[tuple[int, int, int, int, int]]:
        """Return (organisation's index, category's row, day since 1970, quantity, events), sorted."""
        full = self._keys >= 0
        keys, values = self._keys[full], self._values[full]
        category, rest = keys % self._categories, keys // self._categories
        org, day = rest % self._orgs, rest // self._orgs
        order = np.lexsort((day, category, org))
        columns = (org, category, day, values[:, 0], values[:, 1])
        return list(zip(*(column[order].tolist() for column in columns), strict=True))

    def _grow(self) -> None:
        full = self._keys >= 0
        old_keys, old_values = self._keys[full], self._values[full]
        self._keys, self._values = _empty(2 * len(self._keys))
        refill(old_keys, old_values, self._keys, self._values)


@compiled
def refill(old_keys: Int64s, old_values: Int64s, keys: Int64s, values: Int64s) -> None:
    """Put entries into an empty table."""
    mask: int = keys.shape[0] - 1
    for entry in range(old_keys.shape[0]):
        at = p.mix(old_keys[entry]) & mask
        while keys[at] != -1:
            at = (at + 1) & mask
        keys[at] = old_keys[entry]
        values[at] = old_values[entry]


def _empty(room: int) -> tuple[Int64s, Int64s]:
    return np.full(room, -1, dtype=np.int64), np.zeros((room, 2), dtype=np.int64)
