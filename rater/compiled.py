"""Terms compiled: what all organisations under the same terms have in common is worked out once.

Only time depends on it: the same lines come out of terms that are compiled anew each time.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final, NamedTuple

from rater.book import Charge
from rater.counted import Counted
from rater.lines import fee_line
from rater.memo import Memo
from rater.terms import Terms
from schemas.money import MINOR_STEPS, exact
from schemas.period import midnight
from schemas.statements import Line


class Entry(NamedTuple):
    """One charge: the lines of its fees, and how usage becomes its line or lines.

    `counted` makes the line of a charge that totals alone decide; of any other charge that is `used`, the usage has to
    be measured, and in each run by itself.
    """

    id: str
    charge: Charge
    fees: tuple[Line, ...]
    counted: Counted | None
    used: bool


def compiled(found: Terms) -> tuple[Entry, ...]:
    """Return the charges of terms, in the order of their lines."""
    if len(found.segments) > 1 or found.ended:
        return tuple(_entries(found, _all_charges(found)))
    contract = found.contract
    about = (found.charges, found.fees, found.plan, found.version)
    return _COMPILED.get(about, (contract.zone, found.stretch), lambda: tuple(_entries(found, found.charges)))


_COMPILED: Final[Memo[tuple[Entry, ...]]] = Memo()
_COUNTED: Final[Memo[Counted]] = Memo()


def _all_charges(found: Terms) -> Mapping[str, Charge]:
    """Return the charges of all segments, and fees of ended ones; the last says how one is adjusted and stands."""
    charges = {**found.ended, **found.charges}
    for segment in reversed(found.segments):
        for id_, charge in segment.charges.items():
            charges.setdefault(id_, charge)
    return charges


def _entries(found: Terms, charges: Mapping[str, Charge]) -> Iterator[Entry]:
    alone = len(found.segments) == 1
    since, step, rounding = found.version.since, MINOR_STEPS[found.plan.currency], found.plan.rounding
    with exact():
        for id_, charge in charges.items():
            counted = None
            if alone and charge.plain:
                # Overrides leave most charges as they are: these are compiled once for everybody.
                make = partial(Counted, id_, charge, since, step, rounding)
                counted = _COUNTED.get((charge,), (id_, since, step, rounding), make)
            used = not (alone and charge.price.per_period)
            yield Entry(id_, charge, tuple(_fees(id_, charge, found)), counted, used)


def _fees(id_: str, charge: Charge, found: Terms) -> Iterator[Line]:
    name = (charge.name or id_) if charge.price.per_period else f"{charge.name or id_}, fee"
    for part in found.fees.get(id_, ()):
        if part.amount:
            whole = part.stretch == found.stretch or not part.told
            zone = found.contract.zone
            stretch = None if whole else (midnight(part.stretch.first, zone), midnight(part.stretch.after, zone))
            yield fee_line(id_, name, part, MINOR_STEPS[found.plan.currency], found.plan.rounding, stretch)
