"""The events to send, by number: a pure function of the spec and the event's number, compiled.

No random state is carried from one event to the next: every draw is a hash of (seed, number, which draw). So chunks
of any size give the same events, and a retry of event j is event j again, with nothing remembered.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from dataflows.compiled import compiled
from schemas.log import Int64s
from schemas.metering import MICROSECONDS
from tally.generate.profile import Categories, Curve, cumulative, threshold, zipf_weights
from tally.generate.spec import DAY, SHARES, TrafficSpec

# What an event is; the first eight in the order of SHARES.
DUPLICATE, CONFLICT, MALFORMED, FUTURE, TOO_OLD, NOT_BILLABLE, LATE, OUT_OF_ORDER, ORDINARY = range(9)

# Columns of a plan: one row an event.
(
    NUMBER,  # whose id it carries: its own number, or that of the event it repeats
    KIND,
    VARIANT,  # of a malformed event: which one of the format's; else -1
    PARTITION,
    ORG,
    ORG_INDEX,
    PROJECT,
    KEY,  # a project's key, for the format that has one
    CATEGORY,  # row of the catalogue
    WIRE_ID,  # the category's number
    QUANTITY,
    TIMESTAMP,
    OUTCOME,  # 0, or why it is not billable
    TERSE,  # 1 where values that are the format's defaults are left out
    ID_HIGH,
    ID_LOW,
) = range(16)
PLAN_SIZE: Final = 16

# Places in the `numbers` array: what is the same for all events.
(
    SEED,
    REACH,
    PARTITIONS,
    BY_EVENT,
    PRECISION,
    EARLIEST,
    FUTURE_FROM,
    OLD_UNTIL,
    VARIANTS,
) = range(9)
NUMBERS_SIZE: Final = 9

OUTCOMES: Final = 6
"""How many reasons there are not to bill an event."""
RETRY: Final = 60 * MICROSECONDS
"""A repeat comes within about this much event time of its original in a file: a tenth of the usual horizon."""
TOPIC_REACH: Final = 20_000
"""Of a topic: within this many events, or those of one second at the rate given."""
MAX_REACH: Final = 1 << 16
LOOK_BACK: Final = 1024
"""How many events more a repeat looks back over for one that can be repeated."""


GOLDEN: Final = -7_046_029_254_386_353_131
"""2^64 divided by the golden ratio, as a signed number: multiples of it are spread evenly."""


@dataclass(frozen=True, slots=True)
class Tables:
    """A spec made into arrays for the compiled code."""

    numbers: Int64s
    kinds: Int64s
    orgs: Int64s
    categories: Categories
    curve: Curve

    @property
    def reach(self) -> int:
        """How far back a repeat may lie, in events."""
        return int(self.numbers[REACH]) + LOOK_BACK


def tables_of(
    spec: TrafficSpec, categories: Categories, curve: Curve, *, precision: int, variants: int, now: int | None
) -> Tables:
    """Return the arrays of a spec whose times are set. `now`: the time of a topic's production; None for files.

    `precision`: to how many microseconds the format's timestamps are cut. `variants`: how many malformed ones it has.
    """
    assert spec.start is not None
    assert spec.span is not None
    reach = spec.events * RETRY // spec.span if now is None else round(spec.rate or TOPIC_REACH)
    anchor = now if now is not None else spec.meter.as_of or 0
    numbers = np.zeros(NUMBERS_SIZE, dtype=np.int64)
    numbers[SEED] = spec.seed
    numbers[REACH] = min(MAX_REACH if now is None else TOPIC_REACH, max(1, reach))
    numbers[PARTITIONS] = spec.partitions
    numbers[BY_EVENT] = spec.keyed_by == "event"
    numbers[PRECISION] = precision
    # A file's events all lie in the span; a topic's may be late from its first moment on.
    numbers[EARLIEST] = spec.start if now is None else spec.start - DAY
    # For a topic a whole day off, so that neither verdict depends on how long producing takes.
    numbers[FUTURE_FROM] = anchor + spec.meter.max_future + (DAY if now is not None else precision)
    numbers[OLD_UNTIL] = anchor - spec.meter.max_age - precision
    numbers[VARIANTS] = variants
    ends, end = [], 0.0
    for name in SHARES:
        end += spec.share(name)
        ends.append(threshold(min(1.0, end)))
    return Tables(
        numbers=numbers,
        kinds=np.array(ends, dtype=np.int64),
        orgs=cumulative(zipf_weights(spec.orgs, spec.zipf)),
        categories=categories,
        curve=curve,
    )


@compiled
def mix(value: int) -> int:
    """Mix 64 bits (the finalizer of splitmix64): a permutation, so different numbers stay different."""
    mixed = np.uint64(value)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    bits: int = np.int64(mixed)  # type: ignore[assignment]  # an int to the compiled code
    return bits


@compiled
def draw(base: int, which: int) -> int:
    """Return 62 random bits: the `which`-th draw of the event that `base` is the hash of."""
    return mix(base + which * GOLDEN) & 0x3FFFFFFFFFFFFFFF


@compiled
def base_of(seed: int, number: int) -> int:
    """Return the hash that all draws of an event come from; no two events of a seed have the same."""
    return mix(mix(seed) + number)


@compiled
def pick(cumulated: Int64s, drawn: int) -> int:
    """Return in which part of a cumulative table a draw of 62 bits falls."""
    low, high = 0, cumulated.shape[0] - 1
    while low < high:
        middle = (low + high) >> 1
        if drawn < cumulated[middle]:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def kind_of(base: int, kinds: Int64s) -> int:
    """Return what kind the event is, by its first draw."""
    drawn = draw(base, 1) >> 30
    for kind in range(8):
        if drawn < kinds[kind]:
            return kind
    return ORDINARY


@compiled
def quantity_of(base: int, single: int, low: int, high: int) -> int:
    """Return how much: 1, or a number whose octave is drawn first."""
    drawn = draw(base, 6)
    if (drawn & 255) < single:
        return 1
    octave = low + (drawn >> 8 & 0xFFFF) % (high - low + 1)
    size: int = np.int64(1) << np.int64(octave)  # type: ignore[assignment]
    return size + (drawn >> 24) % size


@compiled
def time_of(number: int, base: int, first: Int64s, start: Int64s, length: Int64s) -> int:
    """Return when event `number` occurs: the times of numbers that rise never fall."""
    low, high = 0, start.shape[0] - 1
    while low < high:
        middle = (low + high) >> 1
        if number < first[middle + 1]:
            high = middle
        else:
            low = middle + 1
    within = first[low + 1] - first[low]
    gap = max(1, length[low] // within)
    at: int = start[low] + (number - first[low]) * length[low] // within + draw(base, 2) % gap
    return at


@compiled
def plan_events(
    plan: Int64s,
    begin: int,
    numbers: Int64s,
    kinds: Int64s,
    orgs: Int64s,
    rows: Int64s,
    wire_ids: Int64s,
    weights: Int64s,
    single: Int64s,
    low: Int64s,
    high: Int64s,
    first: Int64s,
    start: Int64s,
    length: Int64s,
) -> None:
    """Fill the plan's rows with the events from number `begin` on."""
    seed = numbers[SEED]
    for row in range(plan.shape[0]):
        number = begin + row
        base = base_of(seed, number)
        kind = kind_of(base, kinds)
        original = number
        more = 0
        if kind <= CONFLICT:
            # Repeat an event that was sent as itself; where there is none, be an ordinary event instead.
            again = number - 1 - draw(base, 3) % max(1, min(number, numbers[REACH]))
            least = max(0, again - LOOK_BACK)
            while again >= least and kind_of(base_of(seed, again), kinds) < LATE:
                again -= 1
            if again < least:
                kind = ORDINARY
            else:
                original = again
                more = 1 + draw(base, 4) % 16 if kind == CONFLICT else 0
                base = base_of(seed, original)
        timed = kind if original == number else kind_of(base, kinds)
        at = time_of(original, base, first, start, length)
        spread = draw(base, 4)
        if timed == LATE:
            # Four minutes to eight and a half hours, short delays more often than long ones.
            unit: int = np.int64(60_000_000) << np.int64(spread % 8)  # type: ignore[assignment]
            at = max(numbers[EARLIEST], at - 180_000_000 - unit - (spread >> 8) % unit)
        elif timed == OUT_OF_ORDER:
            at = max(numbers[EARLIEST], at - spread % 60_000_000)
        elif timed == FUTURE:
            at = numbers[FUTURE_FROM] + spread % 86_400_000_000
        elif timed == TOO_OLD:
            at = numbers[OLD_UNTIL] - spread % 86_400_000_000
        org = pick(orgs, draw(base, 5))
        category = pick(weights, draw(base, 7))
        home = draw(base, 8)
        id_high = mix(base ^ 0x5DEECE66D)
        key = id_high if numbers[BY_EVENT] != 0 else org + 1
        plan[row, NUMBER] = original
        plan[row, KIND] = kind
        plan[row, VARIANT] = draw(base, 9) % numbers[VARIANTS] if kind == MALFORMED else -1
        plan[row, PARTITION] = (mix(key) >> 1 & 0x7FFFFFFF) % numbers[PARTITIONS]
        plan[row, ORG] = org + 1
        plan[row, ORG_INDEX] = org
        plan[row, PROJECT] = (org + 1) * 100 + home % (1 + (mix(org + 1) & 7))
        plan[row, KEY] = (org + 1) * 1000 + (home >> 16) % 3
        plan[row, CATEGORY] = rows[category]
        plan[row, WIRE_ID] = wire_ids[category]
        plan[row, QUANTITY] = quantity_of(base, single[category], low[category], high[category]) + more
        plan[row, TIMESTAMP] = at - at % numbers[PRECISION]
        plan[row, OUTCOME] = 1 + draw(base, 10) % OUTCOMES if kind == NOT_BILLABLE else 0
        plan[row, TERSE] = (home >> 32) & 1
        plan[row, ID_HIGH] = id_high
        plan[row, ID_LOW] = draw(base, 11)
