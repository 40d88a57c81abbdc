"""What an example asks in units, credits or over several periods: another part of the oracle."""

import datetime as dt
import re
from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor
from typing import Final

from tests.examples.oracle_prices import MODELS, ZERO, Words, rounded

F = Fraction
Line = Callable[[F], F]


def converted(d: Words, u: Words, line: Line) -> F | None:  # noqa: ARG001 - a quantity is no line
    """Return converted units."""
    units = F(u["quantity"]) * F(d.get("multiply", 1)) / F(d.get("divide", 1))
    return rounded(units, F(1), d["round"]) if "round" in d else units


def rounded_units(d: Words, u: Words, line: Line) -> F | None:  # noqa: ARG001 - a quantity is no line
    """Return rounded units: round(2), ceil(-1), floor()."""
    found = re.fullmatch(r"(\w+)\((-?\d+)?\)", d["function"])
    assert found is not None
    scale = F(10) ** int(found[2] or 0)
    value = F(u["quantity"]) * scale
    whole = {"ceil": ceil, "floor": floor}.get(found[1])
    return (rounded(value, F(1)) if whole is None else F(whole(value))) / scale


def free_units(d: Words, u: Words, line: Line) -> F | None:  # noqa: ARG001 - a quantity is no line
    """Return how many units are not free."""
    before = F(u.get("already_metered", u.get("already_billed_quantity", 0)))
    free = F(d["quantity"])
    return max(before + F(u["quantity"]) - free, ZERO) - max(before - free, ZERO)


def room(d: Words, u: Words, line: Line) -> F | None:  # noqa: ARG001 - a quantity is no line
    """Return how many units more may come, in whole ones."""
    left = F(d.get("included", 0)) + F(d["overage_limit"]) - F(u["used"])
    return F(max(floor(left), 0))


def phases(d: Words, u: Words, line: Line) -> F | None:
    """Return a fee over the first periods."""
    total, left = ZERO, u["periods"]
    for phase in d["phases"]:
        here = left if phase["periods"] is None else min(left, phase["periods"])
        total, left = total + here * line(F(phase["amount"])), left - here
    return total if left == 0 else None


def granted(d: Words, u: Words, line: Line) -> F | None:  # noqa: ARG001 - credits are no line
    """Return what of a recurring grant a part of a period has, to 8 decimals."""
    if "seconds_left" in u:
        part = F(u["seconds_left"], u["seconds_in_period"])
    else:
        first, after = (dt.date.fromisoformat(day) for day in u["period"].split(".."))
        part = F((after - dt.date.fromisoformat(u["start"])).days, (after - first).days)
    return rounded(F(d["credits"]) * part, F(1, 10**8)) if part != 1 else F(d["credits"])


def worth(d: Words, u: Words, line: Line) -> F | None:
    """Return what credits are worth, or how many an amount buys."""
    if "topup_rate" in d:
        return rounded(F(u["amount"]) / F(d["topup_rate"]), F(1, 10**18))
    return line(F(u["credits"]) * F(d["rate"]))


def weighted(d: Words, u: Words, line: Line) -> F:
    """Return levels × days over the days of the month, at a price."""
    first = dt.date.fromisoformat(f"{d['period']}-01")
    after = (first + dt.timedelta(days=31)).replace(day=1)
    level, area, since = F(u.get("carried_in", 0)), ZERO, first
    for event in sorted(u["events"], key=lambda one: str(one["at"])):
        at = dt.date.fromisoformat(event["at"])
        area, level, since = area + level * (at - since).days, level + F(event["value"]), at
    return line(max((area + level * (after - since).days) / (after - first).days, ZERO) * F(d["unit_amount"]))


def overridden(d: Words, u: Words, line: Line) -> F:
    """Return what a quantity costs at the price of those in the override's scope, or of all others."""
    own = d["override"] if "scope" in u else {}
    return line(MODELS[d["model"]]({**d, **own}, F(u["quantity"])))


def in_part(d: Words, u: Words, line: Line) -> F | None:
    """Return what a quantity costs of which a part counts: the tier is that of the whole."""
    if d["model"] != "volume" or "full_quantity" not in u:
        return None
    full, part = F(u["full_quantity"]), F(u["prorated_quantity"])
    if not 0 <= part <= full:
        return None
    for place, tier in enumerate(d["tiers"]):
        if place == len(d["tiers"]) - 1 or full <= F(tier["up_to"]):
            return line(part * F(tier["unit_amount"]) + F(tier["flat_amount"]))
    return None


def versions(d: Words, u: Words, line: Line) -> F:
    """Return a fee in arrears of a month, at the price of each day; the days of one price are a line."""
    first = dt.date.fromisoformat(f"{u['period']}-01")
    after = (first + dt.timedelta(days=31)).replace(day=1)
    starts = [dt.date.fromisoformat(one.get("effective_for_existing", "2000-01-01")) for one in d["versions"]]
    total, ends = ZERO, [*starts[1:], dt.date.max]
    for one, since, until in zip(d["versions"], starts, ends, strict=True):
        days = (min(until, after) - max(since, first)).days
        total += line(F(one["amount"]) * F(max(days, 0), (after - first).days))
    return total


UNITS: Final[dict[str, Callable[[Words, Words, Line], F | None]]] = {
    "convert_units": converted,
    "round_units": rounded_units,
    "usage_discount": free_units,
    "usage_cap": room,
    "phases": phases,
    "credit_grant": granted,
    "custom_unit": worth,
    "one_time": lambda d, u, line: line(F(d["unit_amount"]) * F(u["quantity"])),
    "prepaid_units": lambda d, u, _: (
        F(d["units"]) + (max(F(d["units"]) - rounded(F(u["used"]), F(1, 100)), ZERO) if d["rollover"] else 0)
    ),
    "credit_purchase": lambda d, u, line: line(
        F(u.get("credits", d.get("units", 0))) * F(d.get("cost_basis", d.get("rate", 0)))
    ),
    "recharge": lambda d, _, line: line(F(d["amount"]) * (1 - F(d.get("discount_percent", 0)) / 100)),
    "prepaid_commit": lambda d, _, line: line(F(d["invoice_amount"])),
    "minimum_in_advance": lambda d, u, line: max(line(F(d["minimum"])) - line(F(u["usage_amount"])), ZERO),
}
