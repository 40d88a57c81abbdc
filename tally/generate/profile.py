"""What realistic traffic looks like: how large organisations are, what is counted how often, when in the day.

Everything ends in integers, so that the same seed gives the same bytes on any machine.
"""

from decimal import Context, Decimal, localcontext
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.catalogue import Catalogue
from schemas.errors import SettingsError
from schemas.log import Int64s
from schemas.metering import MICROSECONDS

HOUR: Final = 3_600 * MICROSECONDS
DAY_HOURS: Final = 24
WHOLE: Final = 2**62
"""The end of a cumulative table of weights: a draw of 62 bits falls somewhere in it."""


class Habit(NamedTuple):
    """How often a category occurs, and how much at a time.

    Of 256 events `single` count 1; the others count between 2^low and 2^(high + 1) − 1, small ones more often than
    large ones: an octave is drawn first, then a number in it.
    """

    weight: int
    single: int
    low: int
    high: int


HABITS: Final[dict[str, Habit]] = {
    "default": Habit(4, 240, 1, 2),
    "error": Habit(130, 220, 1, 4),
    "transaction": Habit(150, 230, 1, 3),
    "security": Habit(4, 240, 1, 2),
    "attachment": Habit(25, 0, 9, 23),
    "session": Habit(80, 100, 1, 6),
    "replay": Habit(25, 250, 1, 2),
    "monitor": Habit(15, 256, 0, 0),
    "span": Habit(380, 40, 1, 8),
    "feedback": Habit(2, 256, 0, 0),
    "profile_duration": Habit(20, 0, 6, 14),
    "profile_duration_ui": Habit(10, 0, 6, 14),
    "uptime": Habit(10, 256, 0, 0),
    "log_item": Habit(60, 60, 1, 7),
    "log_byte": Habit(60, 0, 8, 17),
    "trace_metric": Habit(20, 80, 1, 6),
    "trace_metric_byte": Habit(5, 0, 7, 14),
}
"""What is sent, for categories of these names (Sentry's). They are the default choice where the catalogue has them."""

BY_UNIT: Final[dict[str, Habit]] = {
    "count": Habit(20, 180, 1, 5),
    "bytes": Habit(20, 0, 8, 20),
    "milliseconds": Habit(20, 0, 5, 14),
    "seconds": Habit(20, 0, 1, 10),
    "units": Habit(20, 200, 1, 4),
}
"""For any other category, by its unit."""

# fmt: off
HOURS: Final = (
    46, 40, 36, 34, 36, 42, 54, 72, 98, 122, 138, 142,
    138, 144, 150, 146, 138, 128, 114, 102, 90, 78, 66, 54,
)
# fmt: on
"""The load of each hour of a weekday (UTC), in about per cent of the mean; a weekend has two thirds of it."""


class Categories(NamedTuple):
    """The categories to draw from, one row each: catalogue row, wire id, cumulative weight and quantities."""

    row: Int64s
    wire_id: Int64s
    cumulative: Int64s
    single: Int64s
    low: Int64s
    high: Int64s


def categories_of(catalogue: Catalogue, chosen: tuple[str, ...]) -> Categories:
    """Return the table for the chosen names; () chooses the usual ones, or all of a catalogue that has none of them."""
    usual = [name for name in catalogue.names if name in HABITS]
    names = list(chosen) or usual or list(catalogue.names)
    rows = catalogue.row_by_name()
    found = [catalogue.categories[rows[name]] for name in names]
    habits = [HABITS.get(category.name, BY_UNIT[category.unit]) for category in found]
    return Categories(
        row=_column([rows[name] for name in names]),
        wire_id=_column([category.id for category in found]),
        cumulative=cumulative([habit.weight for habit in habits]),
        single=_column([habit.single for habit in habits]),
        low=_column([habit.low for habit in habits]),
        high=_column([habit.high for habit in habits]),
    )


def cumulative(weights: list[int]) -> Int64s:
    """Return where each weight's part of [0, WHOLE) ends; the last ends at WHOLE."""
    total = sum(weights)
    return _column([ending * WHOLE // total for ending in accumulate(weights)])


def zipf_weights(n: int, exponent: float) -> list[int]:
    """Return n weights that fall as 1 / rank ** exponent, the first one 10^15.

    Powers are taken of primes only and multiplied for the rest: exact decimal arithmetic, since a float's power may
    differ in its last digit from machine to machine.
    """
    with localcontext(Context(prec=24)):
        scale, s = Decimal(10) ** 15, Decimal(repr(float(exponent)))
        factor = _least_factors(n)
        power = [Decimal(1)] * (n + 1)
        for rank in range(2, n + 1):
            least = int(factor[rank])
            power[rank] = Decimal(rank) ** -s if least == rank else power[least] * power[rank // least]
        return [max(1, int(scale * power[rank])) for rank in range(1, n + 1)]


def _least_factors(n: int) -> Int64s:
    factor = np.arange(n + 1, dtype=np.int64)
    for prime in range(2, int(n**0.5) + 2):
        if prime <= n and factor[prime] == prime:
            multiples = factor[prime * prime :: prime]
            np.minimum(multiples, prime, out=multiples)
    return factor


class Curve(NamedTuple):
    """Event time in pieces of up to an hour.

    `first`: the number of the first event in each, and at the end the number of all events; `start`: microseconds UTC;
    `length`: microseconds.
    """

    first: Int64s
    start: Int64s
    length: Int64s


def curve_of(events: int, start: int, span: int, *, daily: bool) -> Curve:
    """Spread the events over [start, start + span), evenly, or as a week of work has it."""
    at, starts, lengths, weights = start, [], [], []
    while at < start + span:
        until = min(start + span, at - at % HOUR + HOUR)
        starts.append(at)
        lengths.append(until - at)
        weights.append((until - at) * (_load(at) if daily else 1))
        at = until
    total = sum(weights)
    first = [0] + [ending * events // total for ending in accumulate(weights)]
    return Curve(_column(first), _column(starts), _column(lengths))


def _load(at: int) -> int:
    hour = at // HOUR
    weekend = (hour // DAY_HOURS + 3) % 7 >= 5  # 1970-01-01 was a Thursday
    return HOURS[hour % DAY_HOURS] * (2 if weekend else 3)


def threshold(share: float) -> int:
    """Return the share of 2^32 draws, exactly: a float times a power of two is not rounded."""
    if not 0 <= share <= 1:
        raise SettingsError(f"{share} is no share of 0 to 1")
    return int(share * 2**32)


def _column(values: list[int]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)
