"""What holds of adjustments in any order, judged by a second, plain implementation in fractions."""

import decimal
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rater.sheet import FINE, Sheet, nets_of
from schemas.money import exact
from tests.rater.sheets import adjusted, sheet

CENT = Fraction(1, 100)
CHARGES = ("a", "b", "c", "d")

amounts = st.dictionaries(st.sampled_from(CHARGES), st.decimals(0, 1000, places=4).map(abs), min_size=1)
percents = st.decimals(0, 100, places=3).map(abs)
bounds = st.decimals(0, 2000, places=2).map(abs)
scopes = st.none() | st.lists(st.sampled_from(CHARGES), min_size=1, unique=True)


@st.composite
def adjustments(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["minimum", "maximum", "discount_percent", "discount_amount", "commitment"]))
    found: dict[str, Any] = {"kind": kind}
    charges = draw(scopes)
    if charges is not None:
        found["charges"] = charges
    if kind == "discount_percent":
        return {**found, "percent": draw(percents)}
    if kind == "commitment":
        factor = Decimal(draw(st.integers(0, 30))) / 10
        return {**found, "amount": draw(bounds) + 1, "overage_factor": factor, "true_up": draw(st.booleans())}
    if kind == "discount_amount":
        return {**found, "amount": draw(bounds), "spread": draw(st.sampled_from(["pro_rata", "in_order"]))}
    return {**found, "amount": draw(bounds)}


def cents(value: Fraction) -> Fraction:
    """Round half away from zero."""
    whole = abs(value) / CENT + Fraction(1, 2)
    return (1 if value >= 0 else -1) * (whole.numerator // whole.denominator) * CENT


def oracle(lines: Mapping[str, Fraction], listed: list[dict[str, Any]]) -> Fraction:
    """The total of rounded lines: what each adjustment adds to or takes from the charges that it looks at.

    Which charge bears how much of a line matters to later ones of another scope: the parts follow the documented rule,
    written down here a second time.
    """
    nets: dict[str, tuple[frozenset[str], Fraction]] = {key: (frozenset({key}), net) for key, net in lines.items()}
    total = sum(lines.values(), Fraction(0))
    for number, rule in enumerate(listed):
        scope = frozenset(rule.get("charges", CHARGES))
        order = [key for key, (charges, _) in nets.items() if charges <= scope or "charges" not in rule]
        if rule["kind"] == "commitment" and "charges" in rule:
            place = {charge: at for at, charge in enumerate(rule["charges"])}
            order = sorted(order, key=lambda key: place.get(key, len(place)))
        net = sum((nets[key][1] for key in order), Fraction(0))
        kind, amount = rule["kind"], Fraction(rule.get("amount", 0))
        off, extra, own = Fraction(0), Fraction(0), Fraction(0)
        if kind == "minimum":
            own = max(amount - net, Fraction(0))
        elif kind == "maximum":
            off = max(net - amount, Fraction(0))
        elif kind == "discount_percent":
            off = cents(net * Fraction(rule["percent"]) / 100)
        elif kind == "discount_amount":
            off = min(amount, net)
        else:
            past = max(net - amount, Fraction(0))
            extra = cents(past * (Fraction(rule["overage_factor"]) - 1))
            own = max(amount - net, Fraction(0)) if rule["true_up"] else Fraction(0)
        if off or extra:
            room = {key: nets[key][1] for key in order}
            if extra:
                room = dict(reversed(_filled(past, dict(reversed(room.items()))).items()))
            parts = _filled(off, room) if rule.get("spread") == "in_order" else _largest(off or extra, room)
            for key, part in parts.items():
                nets[key] = (nets[key][0], nets[key][1] + (part if extra else -part))
        if own:
            looked_at = [nets[key][0] for key in order]
            nets[f"own-{number}"] = (frozenset().union(*looked_at) or scope, own)
        total += own + extra - off
    assert total == sum((net for _, net in nets.values()), Fraction(0))
    return total


def _filled(amount: Fraction, room: Mapping[str, Fraction]) -> dict[str, Fraction]:
    parts = {}
    for key, most in room.items():
        parts[key] = min(amount, most)
        amount -= parts[key]
    return parts


def _largest(amount: Fraction, weights: Mapping[str, Fraction]) -> dict[str, Fraction]:
    shares = {key: amount * weight / sum(weights.values()) / CENT for key, weight in weights.items()}
    parts = {key: share.__floor__() for key, share in shares.items()}
    for key in sorted(shares, key=lambda key: parts[key] - shares[key])[: int(amount / CENT) - sum(parts.values())]:
        parts[key] += 1
    return {key: part * CENT for key, part in parts.items()}


@given(amounts, st.lists(adjustments(), max_size=6))
def test_any_list_of_adjustments_agrees_with_fractions(found: dict[str, Decimal], listed: list[dict[str, Any]]) -> None:
    made = sheet(found)
    before = {line.charge: Fraction(line.amount) for line in made.lines}
    adjusted(made, *listed)
    assert sum((Fraction(line.amount) for line in made.lines), Fraction(0)) == oracle(before, listed)
    assert all(net >= 0 for net in nets_of(made.lines).values())
    with exact():
        assert sum(nets_of(made.lines).values()) == made.total
    for line in made.lines:
        assert sum(map(Fraction, line.spread.values())) == (Fraction(line.amount) if line.spread else 0)


modes = st.sampled_from([decimal.ROUND_UP, decimal.ROUND_DOWN])


@given(amounts, st.lists(adjustments(), max_size=4), st.integers(1, 40), modes)
def test_no_adjustment_depends_on_the_ambient_decimal_context(
    found: dict[str, Decimal], listed: list[dict[str, Any]], digits: int, mode: str
) -> None:
    expected = adjusted(sheet(found), *listed).lines
    with decimal.localcontext(decimal.Context(prec=digits, rounding=mode, traps=[])):
        assert adjusted(sheet(found), *listed).lines == expected


@given(amounts, bounds, bounds)
def test_minimum_then_maximum_holds_both_bounds(found: dict[str, Decimal], one: Decimal, other: Decimal) -> None:
    low, high = sorted((one, other))
    made = adjusted(sheet(found), {"kind": "minimum", "amount": low}, {"kind": "maximum", "amount": high})
    assert low <= _total(made) <= high


@given(amounts, st.lists(adjustments(), max_size=3))
def test_a_hundred_percent_leaves_nothing(found: dict[str, Decimal], listed: list[dict[str, Any]]) -> None:
    made = adjusted(sheet(found), *listed, {"kind": "discount_percent", "percent": 100})
    assert _total(made) == 0
    assert not any(nets_of(made.lines).values())


@given(amounts, percents, percents)
def test_chained_percentages_commute(found: dict[str, Decimal], one: Decimal, other: Decimal) -> None:
    """Unrounded they do to the last of 18 digits; rounded, each order is within a cent of the exact product."""
    rules = [{"kind": "discount_percent", "percent": percent} for percent in (one, other)]
    totals = []
    for order in (rules, rules[::-1]):
        made = adjusted(sheet(found), *order)
        with exact():
            fine = sum((net.exact for net in made.nets().values()), Decimal(0))
        totals.append((fine, _total(made)))
        base = sum((Fraction(line.amount) for line in made.lines if line.kind == "charge"), Fraction(0))
        true = base * (1 - Fraction(one) / 100) * (1 - Fraction(other) / 100)
        assert abs(Fraction(_total(made)) - true) < CENT
    assert abs(totals[0][0] - totals[1][0]) <= 2 * FINE
    assert abs(totals[0][1] - totals[1][1]) <= Decimal("0.01")


@given(amounts, bounds, st.sampled_from(["pro_rata", "in_order"]))
def test_a_discount_takes_its_amount_or_all_there_is(found: dict[str, Decimal], off: Decimal, spread: str) -> None:
    before = _total(sheet(found))
    made = adjusted(sheet(found), {"kind": "discount_amount", "amount": off, "spread": spread})
    assert _total(made) == max(before - off, 0)


@given(amounts, st.lists(adjustments(), max_size=4), scopes)
def test_what_a_scope_leaves_out_is_not_touched(
    found: dict[str, Decimal], listed: list[dict[str, Any]], scope: list[str] | None
) -> None:
    made = adjusted(sheet(found), *listed, scope=scope)
    before, now = nets_of(sheet(found).lines), nets_of(made.lines)
    outside = [charge for charge in found if scope is not None and charge not in scope]
    assert {charge: now[charge] for charge in outside} == {charge: before[charge] for charge in outside}


def _total(made: Sheet) -> Decimal:
    with exact():
        return made.total
