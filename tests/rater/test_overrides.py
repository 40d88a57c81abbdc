"""Overrides, phases and trials: what a contract says instead of the plan."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater.rate import rate
from rater.terms import Terms, terms
from schemas.errors import SettingsError
from schemas.money import exact
from schemas.period import Period
from schemas.statements import OrgUsage
from tests.rater.books import NOVEMBER, book, contract, contracts, failed, rated, used
from tests.rater.prices import models

quantities = st.integers(0, 10**9)

TIERS = [{"up_to": 10, "unit_amount": 3}, {"up_to": None, "unit_amount": 2}]
CHARGES = {
    "base": {"price": {"model": "flat", "amount": 29}},
    "errors": {"category": "error", "included": 5, "price": {"model": "graduated", "tiers": TIERS}},
    "spans": {"category": "span", "price": {"model": "per_unit", "unit_amount": "0.5"}},
    "replays": {"category": "replay", "price": {"model": "per_unit", "unit_amount": 7}},
}
USAGE = used(error=20, span=100, replay=3)  # 10 × 3 + 5 × 2 = 40, 50, 21


def amounts(overrides: list[dict[str, Any]], **more: Any) -> dict[str, Decimal]:
    agreed = contracts(contract(overrides=overrides, **more))
    return {line.charge: line.amount for line in rated(book(CHARGES), USAGE, agreed).lines}


PLAIN = {"base": Decimal(29), "errors": Decimal(40), "spans": Decimal(50), "replays": Decimal(21)}

# What a contract overrides => the lines that change.
TABLE: dict[str, tuple[list[dict[str, Any]], dict[str, str]]] = {
    "nothing": ([], {}),
    "a price": ([{"charge": "spans", "price": {"model": "per_unit", "unit_amount": "0.1"}}], {"spans": "10"}),
    "a price by another model": (
        [{"charge": "spans", "price": {"model": "package", "package_size": 30, "package_amount": 2}}],
        {"spans": "8"},
    ),
    "a fee": ([{"charge": "base", "price": {"model": "flat", "amount": 19}}], {"base": "19"}),
    "a field of a price": ([{"charge": "replays", "change": {"unit_amount": 1}}], {"replays": "3"}),
    "a price times a factor": ([{"charge": "errors", "multiply": "0.9"}], {"errors": "36"}),
    "everything times a factor": (
        [{"multiply": "0.5"}],
        {"base": "14.5", "errors": "20", "spans": "25", "replays": "10.5"},
    ),
    "nothing is owed": ([{"category": "error", "multiply": 0}], {"errors": "0"}),
    "tiers, of what has tiers": ([{"tiers": [{"up_to": None, "unit_amount": 1}]}], {"errors": "15"}),
    "by category": ([{"category": "span", "change": {"unit_amount": 1}}], {"spans": "100"}),
    "by model": ([{"model": "per_unit", "multiply": 2}], {"spans": "100", "replays": "42"}),
    "by plan": ([{"plan": "plan", "multiply": 2}], {"base": "58", "errors": "80", "spans": "100", "replays": "42"}),
    "what is included": ([{"category": "error", "included": 10}], {"errors": "30"}),
    "price and included by the same override": (
        [{"charge": "errors", "included": 0, "multiply": "0.1"}],
        {"errors": "5"},
    ),
    "price by one and included by another": (
        [{"charge": "errors", "included": 0}, {"category": "error", "multiply": "0.1"}],
        {"errors": "5"},
    ),
    "a commitment": (
        [{"charge": "replays", "commitment": {"quantity": 4, "true_up": True}}],
        {"replays": "7"},  # the last line of the charge: one unit is short of the four committed
    ),
    "charge before category before model before plan before every charge": (
        [
            {"multiply": 9},
            {"plan": "plan", "multiply": 8},
            {"model": "per_unit", "multiply": 2},
            {"category": "span", "multiply": 3},
            {"charge": "replays", "multiply": 4},
        ],
        {"base": "232", "errors": "320", "spans": "150", "replays": "84"},
    ),
    "two of a scope before one of them": (
        [{"category": "span", "multiply": 3}, {"category": "span", "model": "per_unit", "multiply": 2}],
        {"spans": "100"},
    ),
    "one with dates before one without": (
        [{"charge": "spans", "multiply": 3}, {"charge": "spans", "multiply": 2, "from": "2026-01-01"}],
        {"spans": "100"},
    ),
    "dates that have passed, and others to come": (
        [
            {"charge": "spans", "multiply": 3, "until": "2026-11-01"},
            {"charge": "spans", "multiply": 2, "from": "2026-12-01"},
        ],
        {},
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_an_override_changes_the_lines_in_its_scope_and_no_others(name: str) -> None:
    overrides, changed = TABLE[name]
    assert amounts(overrides) == {**PLAIN, **{charge: Decimal(amount) for charge, amount in changed.items()}}


@given(models(), quantities, st.sampled_from(["price", "change", "multiply", "included", "tiers"]))
def test_an_override_equal_to_the_base_changes_nothing(price: dict[str, Any], quantity: int, how: str) -> None:
    charge = {"category": "error", "included": 7, "price": price}
    same: dict[str, Any] = {
        "price": price,
        "change": {name: value for name, value in price.items() if name != "model"},
        "multiply": 1,
        "included": 7,
        "tiers": price.get("tiers"),
    }
    if same[how] is None:
        return  # a price without tiers
    prices, usage = book({"it": charge}), used(error=quantity)
    plain = rated(prices, usage)
    override = rated(prices, usage, contracts(contract(overrides=[{"charge": "it", how: same[how]}])))
    assert override.lines == plain.lines


@given(models(), quantities, st.decimals(0, 5, places=4).map(abs))
def test_a_multiplied_price_owes_so_many_times_as_much(price: dict[str, Any], quantity: int, factor: Decimal) -> None:
    prices, usage = book({"it": {"category": "error", "price": price}}), used(error=quantity)
    times = rated(prices, usage, contracts(contract(overrides=[{"multiply": factor}])))
    with exact():
        plain = sum((line.exact for line in rated(prices, usage).lines), Decimal(0))
        assert sum((line.exact for line in times.lines), Decimal(0)) == plain * factor
        for line in times.lines:
            assert sum((step.amount for step in line.steps), Decimal(0)) == line.exact


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ({"charge": "profiles", "multiply": 2}, "override_matches_nothing"),
        ({"category": "profile", "multiply": 2}, "override_matches_nothing"),
        ({"plan": "gold", "multiply": 2}, "override_matches_nothing"),
        ({"model": "volume", "multiply": 2}, "override_matches_nothing"),
        ({"charge": "spans", "tiers": TIERS}, "override_matches_nothing"),
        ({"charge": "spans", "change": {"fee": 1}}, "override_matches_nothing"),
        ({"charge": "base", "included": 1}, "override_matches_nothing"),
        ({"charge": "errors", "tiers": TIERS[:1]}, "override_does_not_fit"),
        ({"charge": "spans", "change": {"unit_amount": -1}}, "override_does_not_fit"),
        ({"charge": "spans", "price": {"model": "flat", "amount": 1}}, "override_does_not_fit"),
        ({"charge": "base", "price": {"model": "per_unit", "unit_amount": 1}}, "override_does_not_fit"),
    ],
    ids=str,
)
def test_an_override_that_cannot_be_applied_is_a_failure(override: dict[str, Any], reason: str) -> None:
    rating = rate(book(CHARGES), contracts(contract(overrides=[override])), USAGE, NOVEMBER)
    assert failed(rating) == [(reason, "")]
    assert "contract contract" in rating.failures[0].detail


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ([{"multiply": 2}] * 2, "(every charge; every charge)"),
        ([{"charge": "spans", "included": 1}] * 2, "charge spans of plan plan"),
        ([{"category": "span", "multiply": 2, "from": "2026-01-01"}] * 2, "category span, from 2026-01-01"),
    ],
)
def test_two_that_are_equally_specific_are_a_failure(overrides: list[dict[str, Any]], told: str) -> None:
    rating = rate(book(CHARGES), contracts(contract(overrides=overrides)), USAGE, NOVEMBER)
    assert failed(rating) == [("override_ambiguous", "")]
    assert told in rating.failures[0].detail


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"overrides": [{"charge": "spans"}]}, "say what changes"),
        ({"overrides": [{"multiply": 2, "tiers": TIERS}]}, "give one of tiers and multiply"),
        ({"overrides": [{"multiply": 2, "from": "2026-02-01", "until": "2026-02-01"}]}, "is not after from"),
        ({"overrides": [{"model": "tiered", "multiply": 2}]}, "there is no price model 'tiered'"),
        ({"overrides": [{"change": {"model": "flat"}}]}, "give price, whole"),
        ({"overrides": [{"multiply": -1}]}, "greater than or equal to 0"),
        ({"phases": [{}, {"cycles": 2}]}, "the phases after it are never reached"),
        ({"trial": {}}, "say how long the trial is"),
        ({"trial": {"days": 3, "until": "2026-01-01"}}, "say how long the trial is"),
        ({"billing": {"zone": "Mars/Olympus"}}, "is no time zone of the IANA database"),
        ({"billing": {"zone": "localtime"}}, "is no time zone of the IANA database"),
        ({"billing": {"anchor_day": 0}}, "greater than or equal to 1"),
        ({"billing": {"anchor_day": 3, "anchor": "2026-01-03"}}, "give anchor or anchor_day"),
        ({"billing": {"interval": "week", "anchor_day": 8}}, "from 1 (Monday) to 7 (Sunday)"),
        ({"billing": {"interval": "month", "usage": "week"}}, "a month is no whole number of weeks"),
        ({"billing": {"interval": "month", "usage": "year"}}, "a month is no whole number of years"),
    ],
    ids=str,
)
def test_a_contract_that_says_no_such_thing_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        contracts(contract(**changes))
    assert told in str(caught.value)
    assert str(caught.value).startswith("contracts.yaml:1: ")


# ---- phases and trials ----

RAMP = [
    {"cycles": 2, "overrides": [{"charge": "base", "change": {"amount": "4.95"}}]},
    {"cycles": 1, "included": {"errors": 20}, "overrides": [{"charge": "base", "multiply": "0.5"}]},
    {"overrides": [{"charge": "base", "change": {"amount": 40}}]},
]


def months(agreed: Any, first: int, count: int, usage: OrgUsage | None = None) -> list[Decimal]:
    periods = [Period.month(2026 + (first + n - 1) // 12, (first + n - 1) % 12 + 1) for n in range(count)]
    return [rated(book(CHARGES), usage or used(), agreed, period).total for period in periods]


def test_phases_hold_for_their_billing_periods_and_the_last_for_ever() -> None:
    agreed = contracts(contract(phases=RAMP, **{"from": "2026-09-01"}))
    assert months(agreed, 9, 5) == [Decimal("4.95"), Decimal("4.95"), Decimal("14.50"), 40, 40]
    assert months(agreed, 11, 1, used(error=25)) == [Decimal("14.50") + 15]


def test_beyond_the_last_phase_the_contract_s_own_terms_hold() -> None:
    agreed = contracts(contract(phases=RAMP[:2], overrides=[{"multiply": 2}], **{"from": "2026-10-01"}))
    assert months(agreed, 10, 4) == [Decimal("4.95"), Decimal("4.95"), Decimal("14.50"), 58]


def test_a_phase_is_counted_from_where_the_contract_began_also_after_an_amendment() -> None:
    began = {"from": "2026-09-01", "phases": RAMP}
    agreed = contracts(
        contract(1, until="2026-10-01", **began), contract(1, **{**began, "from": "2026-10-01"}, included={"errors": 6})
    )
    assert months(agreed, 9, 4) == [Decimal("4.95"), Decimal("4.95"), Decimal("14.50"), 40]
    another = contracts(
        contract(1, until="2026-10-01", **began), contract(1, id="new", **{**began, "from": "2026-10-01"})
    )
    assert months(another, 9, 3) == [Decimal("4.95"), Decimal("4.95"), Decimal("4.95")]


def test_a_phase_may_be_on_another_plan_and_overrides_of_a_plan_wait_for_it() -> None:
    two = book(CHARGES)
    gold = book({"base": {"price": {"model": "flat", "amount": 100}}})
    both = type(two)(two.name, two.revision, {**two.plans, "gold": gold.plans["plan"]}, two.content_hash)
    agreed = contracts(
        contract(
            phases=[{"cycles": 1, "plan": "gold"}],
            overrides=[{"plan": "gold", "multiply": 2}],
            **{"from": "2026-10-01"},
        )
    )
    found = [rated(both, used(), agreed, Period.month(2026, month)) for month in (10, 11)]
    assert [(statement.plan, int(statement.total)) for statement in found] == [("gold", 200), ("plan", 29)]


def test_a_phase_s_adjustments_are_instead_of_the_contract_s() -> None:
    def minimum(amount: int) -> list[dict[str, Any]]:
        return [{"kind": "minimum", "amount": amount}]

    agreed = contracts(
        contract(phases=[{"cycles": 1, "adjustments": minimum(30)}], adjustments=minimum(60), **{"from": "2026-10-01"})
    )
    assert months(agreed, 10, 2) == [30, 60]


@pytest.mark.parametrize(
    ("trial", "expected"),
    [
        ({"days": 10}, {"base": "19.33", "spans": "50"}),  # 20 of 30 days
        ({"until": "2026-11-16"}, {"base": "14.5", "spans": "50"}),
        ({"days": 30}, {"spans": "50"}),
        ({"days": 31}, {"spans": "50"}),
        ({"days": 30, "free": ["spans"]}, {"base": "29", "spans": "0"}),
        ({"days": 30, "free": ["base", "spans"]}, {"spans": "0"}),
    ],
    ids=str,
)
def test_a_trial_frees_the_fees_of_its_days_or_what_it_says(trial: dict[str, Any], expected: dict[str, str]) -> None:
    agreed = contracts(contract(trial=trial, **{"from": "2026-11-01"}))
    statement = rated(book({name: CHARGES[name] for name in ("base", "spans")}), used(span=100), agreed)
    assert {line.charge: line.amount for line in statement.lines} == {
        charge: Decimal(amount) for charge, amount in expected.items()
    }


def test_a_trial_that_ends_inside_the_period_frees_usage_until_then() -> None:
    agreed = contracts(contract(trial={"days": 10, "free": ["spans"]}, **{"from": "2026-11-01"}))
    found = terms(book(CHARGES), agreed, 1, NOVEMBER)
    assert isinstance(found, Terms)
    assert [(segment.stretch.days, segment.trial) for segment in found.segments] == [(10, True), (20, False)]
    assert [segment.charges["spans"].price.owed(Decimal(3)) for segment in found.segments] == [0, Decimal("1.5")]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"adjustments": [{"kind": "minimum", "amount": 1, "charges": ["profiles"]}]}, "an adjustment of profiles"),
        ({"budget": {"amount": 5, "charges": ["profiles"]}}, "a budget of profiles"),
        (
            {"grants": [{"id": "g", "from": "2026-01-01", "amount": 5, "charges": ["profiles"]}]},
            "a grant of profiles",
        ),
    ],
    ids=lambda found: str(found)[:20],
)
def test_what_a_contract_says_of_a_charge_that_no_plan_has_is_a_failure(changes: dict[str, Any], told: str) -> None:
    rating = rate(book(CHARGES), contracts(contract(**changes)), USAGE, NOVEMBER)
    assert failed(rating) == [("adjustment_matches_nothing", "")]
    assert told in rating.failures[0].detail
