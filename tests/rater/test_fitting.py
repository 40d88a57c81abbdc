"""What of a charge does not fit together, and what its usage has to be told of."""

from typing import Any

import pytest

from rater.needs import BY_WINDOW, TOTALS, Need, joined, needs
from schemas.errors import SettingsError
from tests.rater.books import book

ONE_EACH = {"model": "per_unit", "unit_amount": 1}
PERCENT = {"model": "percentage", "percent": 1, "free_events": 1}
MATRIX = {"model": "matrix", "dimensions": ["a"], "rules": [], "default": 1}
PACKAGE = {"model": "package", "package_size": 10, "package_amount": 1}
SLOT = {"from_hour": 9, "to_hour": 12, "price": ONE_EACH}


def charged(**charge: Any) -> dict[str, Any]:
    return {"category": "error", "price": ONE_EACH, **charge}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a fee by parts": (
        {"price": {"model": "flat", "amount": 1}, "each": "hour"},
        "a fee for the period counts nothing: drop each",
    ),
    "two spans": (charged(each=["hour", "day"]), "one span of time"),
    "a span twice": (charged(each=["hour", "hour"]), "one span of time"),
    "events of groups": (charged(each=["event", "group"]), "each event is a part by itself"),
    "an unknown part": (charged(each="week"), "each"),
    "a level by parts": (charged(each="day", aggregate="weighted_sum"), "has no parts"),
    "a level of two categories": (
        {"categories": ["error", "span"], "price": ONE_EACH, "aggregate": "latest"},
        "of one category",
    ),
    "events by window": (charged(each="window", aggregate="latest"), "not told by window"),
    "unused groups": (
        charged(each="group", commitment={"amount": 1, "true_up": True, "unused_parts": True}),
        "unused parts are hours",
    ),
    "unused parts without a true-up": (
        charged(each="hour", commitment={"amount": 1, "unused_parts": True}),
        "say true_up",
    ),
    "slots that meet": (
        charged(schedule=[SLOT, {**SLOT, "from_hour": 22, "to_hour": 10}]),
        "the slot 22:00–10:00 begins before another one ends",
    ),
    "a slot of no time": (charged(schedule=[{**SLOT, "to_hour": 9}]), "ends at another hour"),
    "a slot that says nothing": (charged(schedule=[{"from_hour": 1, "to_hour": 2}]), "says another price"),
    "a slot with a fee": (charged(schedule=[{**SLOT, "price": {"model": "flat", "amount": 1}}]), "has no hours"),
    "a fraction that a model cannot price": (
        charged(aggregate="average", price={"model": "percentage", "percent": 1}),
        "average may be a fraction",
    ),
    "fractions of parts": (charged(aggregate="average", each="day"), "may be a fraction in each"),
    "cumulative parts": (charged(cumulative=True, each="day"), "count the whole of the usage"),
    "cumulative levels": (charged(cumulative=True, aggregate="max"), "which max does not"),
    "a cumulative true-up": (
        charged(cumulative=True, commitment={"quantity": 1, "true_up": True}),
        "no true-up in each",
    ),
    "cumulative events": (charged(cumulative=True, price=PERCENT), "needs more than the quantity"),
    "prorated packages": (charged(prorated=True, price=PACKAGE), "no price for a part of the period"),
    "prorated parts": (charged(prorated="seconds", each="day"), "prorated usage has no parts"),
    "prorated and included": (charged(prorated=True, included=5), "prorated usage has no parts"),
    "prorated maximum": (charged(prorated=True, aggregate="max"), "is a sum of quantities"),
    "prorated and rounded": (charged(prorated=True, convert={"round": {"mode": "up"}}), "is not rounded"),
    "the latest of events that are priced": (
        charged(price=PERCENT, aggregate="latest"),
        "prices the events themselves",
    ),
    "included in a matrix": (charged(price=MATRIX, included=5), "which of the usage would be the included"),
    "a quantity committed to of a matrix": (charged(price=MATRIX, commitment={"quantity": 1}), "commit to an amount"),
    "a commitment to nothing": (charged(commitment={"true_up": True}), "a quantity or an amount"),
    "a commitment to both": (charged(commitment={"quantity": 1, "amount": 1}), "a quantity or an amount"),
    "no such zone": (charged(zone="Europe/Nowhere"), "Nowhere"),
    "stairs with units": (
        charged(price={"model": "stairstep", "tiers": [{"up_to": None, "unit_amount": 1}]}),
        "a step costs its flat_amount",
    ),
    "thresholds that fall": (
        charged(
            price={
                "model": "threshold_multiplier",
                "unit_amount": 1,
                "thresholds": [{"from": 5, "multiplier": 1}, {"from": 5, "multiplier": 2}],
            }
        ),
        "is not above that from 5",
    ),
    "limits that cross": (
        charged(price={"model": "percentage", "percent": 1, "per_event_minimum": 2, "per_event_maximum": 1}),
        "per_event_minimum 2 is above per_event_maximum 1",
    ),
    "a rule of another attribute": (
        charged(price={**MATRIX, "rules": [{"match": {"b": "x"}, "unit_amount": 1}]}),
        "rule 1 matches b, which is not in dimensions",
    ),
    "two rules alike": (
        charged(price={**MATRIX, "rules": [{"match": {"a": "x"}, "unit_amount": price} for price in (1, 2)]}),
        "two rules match the same",
    ),
    "a rule with two prices": (
        charged(price={**MATRIX, "rules": [{"match": {}, "unit_amount": 1, "package_amount": 1}]}),
        "a unit_amount or a package_amount",
    ),
    "packages of no size": (
        charged(price={**MATRIX, "rules": [{"match": {}, "package_amount": 1}]}),
        "give package_size",
    ),
    "a matrix of nothing": (charged(price={"model": "matrix", "dimensions": ["a"], "rules": []}), "give rules"),
    "an adjustment of another charge": (
        charged(adjustments=[{"kind": "minimum", "amount": 1, "charges": ["it"]}]),
        "is of its lines alone",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_told_where_the_book_is_read(name: str) -> None:
    charge, told = WRONG[name]
    with pytest.raises(SettingsError, match=r"plans\.plan\.versions\.0") as error:
        book({"it": charge})
    assert told in str(error.value)


def test_an_adjustment_of_a_charge_that_is_not_there_is_refused() -> None:
    wrong = {
        "from": "2020-01-01",
        "charges": {"it": charged()},
        "adjustments": [{"kind": "minimum", "amount": 1, "charges": ["that"]}],
    }
    with pytest.raises(SettingsError, match="an adjustment names that, which is no charge"):
        book(versions=[wrong])


@pytest.mark.parametrize(
    ("charge", "need"),
    [
        ({}, TOTALS),
        ({"aggregate": "max"}, TOTALS),
        ({"aggregate": "average"}, TOTALS),
        ({"commitment": {"amount": 1}}, TOTALS),
        ({"cumulative": True}, TOTALS),
        ({"price": {"model": "percentage", "percent": 1, "fixed_per_event": 1}}, TOTALS),
        ({"price": PERCENT}, Need("events")),
        ({"price": {"model": "dynamic"}}, Need("events")),
        ({"price": MATRIX}, Need("parts", "period", dimensions=True)),
        ({"price": ONE_EACH, "schedule": [{**SLOT, "price": PERCENT}]}, Need("events")),
        ({"aggregate": "unique_count"}, Need("events")),
        ({"aggregate": "weighted_sum"}, Need("events")),
        ({"aggregate": {"function": "sum", "of": "amount"}}, Need("events")),
        ({"aggregate": "sum_of_max"}, BY_WINDOW),
        (
            {"aggregate": {"function": "sum_of_max", "window": "hour", "by_group": True}},
            Need("parts", "hour", dimensions=True),
        ),
        ({"prorated": True}, Need("events")),
        ({"each": "event"}, Need("events")),
        ({"each": "group"}, Need("parts", "period", dimensions=True)),
        ({"each": ["day", "group"]}, Need("parts", "day", dimensions=True)),
        ({"each": "day", "zone": "Asia/Kolkata"}, BY_WINDOW),
        ({"each": "day", "schedule": [SLOT]}, Need("parts", "hour")),
    ],
)
def test_what_a_charge_needs(charge: dict[str, Any], need: Need) -> None:
    prices = book({"it": charged(**charge)})
    assert needs(prices.plans["plan"].versions[0]) == {"error": need}


def test_hours_and_days_are_the_customer_s_where_a_charge_has_no_zone() -> None:
    version = book({"it": charged(each="day")}).plans["plan"].versions[0]
    assert needs(version) == {"error": Need("parts", "day")}
    assert needs(version, "Europe/Berlin") == {"error": BY_WINDOW}


def test_the_needs_of_several_versions_cover_each() -> None:
    found = joined([{"error": Need("parts", "day"), "span": TOTALS}, {"error": Need("parts", "hour", dimensions=True)}])
    assert found == {"error": Need("parts", "hour", dimensions=True), "span": TOTALS}
    assert joined([{"error": Need("events")}, {"error": BY_WINDOW}]) == {"error": Need("events", "window")}
