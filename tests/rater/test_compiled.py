"""The short way to a line (compiled terms, no steps, words when asked for) comes to what the long way comes to."""

import copy
import decimal
import json
import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from rater.charge import priced
from rater.lines import charge_lines
from rater.models import AnyPrice
from rater.multiplied import multiplied
from rater.pool import pool
from rater.rate import rate
from rater.render import document
from rater.sheet import Sheet
from schemas.money import exact
from schemas.prices import PriceModel
from schemas.statements import CategoryUsage, Line, OrgUsage, Statement
from tests.rater.books import NOVEMBER, book, contract, contracts, rated, used
from tests.rater.prices import models

PRICE: TypeAdapter[PriceModel] = TypeAdapter(AnyPrice)
CATEGORIES = ("error", "default", "security", "span", "log_byte")
STARTS = (NOVEMBER.start, NOVEMBER.end)

whole = st.integers(-50, 400) | st.integers(0, 2**56)
quantities = whole | st.decimals(0, 400, places=3).map(abs)
modes = st.sampled_from(["half_away", "half_even", "up", "down"])
conversions = st.none() | st.one_of(
    st.fixed_dictionaries({"unit": st.just("GB"), "divide": st.sampled_from([1, "0.5", 8, 1000, 10**9])}),
    st.fixed_dictionaries({"multiply": st.sampled_from([1, "0.25", 1000])}),
    st.fixed_dictionaries(
        {
            "unit": st.sampled_from(["", "hours"]),
            "divide": st.sampled_from([7, 3600]),
            "round": st.fixed_dictionaries({"mode": modes, "to": st.sampled_from([1, "0.01", 5])}),
        }
    ),
)


@st.composite
def books(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Charges that totals decide: they count the categories in turn, one or several each."""
    charges: dict[str, dict[str, Any]] = {}
    left = list(CATEGORIES)
    while left:
        count = draw(st.integers(1, len(left)))
        charge = {
            "categories": left[:count],
            "price": draw(models()),
            "name": draw(st.sampled_from(["", "A name"])),
            "unit": draw(st.sampled_from(["", "things"])),
            "included": draw(st.none() | st.integers(0, 100)),
            "convert": draw(conversions),
        }
        charges[f"charge-{len(charges)}"] = {name: value for name, value in charge.items() if value is not None}
        left = left[count:]
    return charges


usages = st.dictionaries(
    st.sampled_from(CATEGORIES),
    st.builds(
        lambda quantity, first, last: CategoryUsage(quantity, first, last, 3, 2),
        quantities,
        st.sampled_from((None, *STARTS)),
        st.sampled_from((None, *STARTS)),
    ),
)


def the_long_way(statement: Statement, prices: Any, usage: OrgUsage, currency: str) -> list[Line]:
    """The lines of a plan's charges by the way that every other charge takes."""
    plan = prices.plans["plan"]
    [version] = plan.versions
    sheet = Sheet(currency, NOVEMBER, version.since, plan.rounding)
    lines: list[Line] = []
    for id_, charge in version.charges.items():
        uses = {category: usage.categories.get(category, CategoryUsage(0)) for category in charge.counted}
        with exact():
            found = priced(charge, pool(list(uses.values()), NOVEMBER.start, NOVEMBER.end))
            if found.cost.owed.numerator or not usage.categories.keys().isdisjoint(charge.counted):
                lines += charge_lines(sheet, id_, charge, uses, found, version.since)
    assert len(lines) == len(statement.lines)
    return lines


@given(books(), usages, modes, st.sampled_from(["USD", "JPY", "BHD"]))
def test_every_line_is_that_of_the_long_way(
    charges: dict[str, Any], categories: dict[str, CategoryUsage], rounding: str, currency: str
) -> None:
    prices = book(charges, rounding=rounding, currency=currency)
    usage = OrgUsage(7, categories, "s")
    statement = rated(prices, usage, contracts(contract(currency=currency)))
    for line, expected in zip(statement.lines, the_long_way(statement, prices, usage, currency), strict=True):
        assert line == expected
        assert expected == line
        assert tuple(line.worked_out()) == tuple(expected)
        assert (line.steps, line.conversion) == (expected.steps, expected.conversion)
        assert line.explanation() == expected.explanation()
        with exact():
            assert line.exact == sum((step.amount for step in line.steps), Decimal(0))
    assert statement.total == sum(line.amount for line in statement.lines)


@given(models(), quantities.filter(lambda quantity: quantity >= 0), st.sampled_from(["1", "0", "0.85", "3"]), st.data())
def test_a_tariff_is_the_sum_of_the_steps(
    fields: dict[str, Any], quantity: Decimal | int, factor: str, data: st.DataObject
) -> None:
    price = multiplied(PRICE.validate_python(fields), Decimal(factor))
    bounds = [tier["up_to"] for tier in fields.get("tiers", ()) if tier["up_to"]]
    at = Decimal(data.draw(st.sampled_from([quantity, *bounds])))
    with exact():
        tariff = price.tariff()
        assert tariff(at) == sum((step.amount for step in price.steps(at)), Decimal(0))
        assert tariff(at) == tariff(at)


@given(books(), st.lists(st.tuples(st.integers(1, 5), usages), min_size=1, max_size=8), st.integers(0, 50))
def test_what_is_kept_of_one_rating_changes_no_other(
    charges: dict[str, Any], asked: list[tuple[int, dict[str, CategoryUsage]]], included: int
) -> None:
    charges["fee"] = {"price": {"model": "flat", "amount": "9.99", "in_advance": True}}
    prices = book(charges)
    agreed = contracts(
        contract(),
        contract(2, id="own"),
        contract(3, id="more", included={"charge-0": included}),
        contract(4, id="dearer", overrides=[{"charge": "charge-0", "multiply": "1.5"}]),
    )
    for org_id, categories in asked:
        usage = OrgUsage(org_id, categories)
        alone = rate(copy.deepcopy(prices), copy.deepcopy(agreed), usage, NOVEMBER)
        assert rate(prices, agreed, usage, NOVEMBER) == alone
        told = [
            document(rating, complete_to=None, period=NOVEMBER)
            for rating in (alone, rate(prices, agreed, usage, NOVEMBER))
        ]
        assert json.dumps(told[0]) == json.dumps(told[1])


def a_line() -> Line:
    """A line of two tiers whose words have not been asked for."""
    tiers = [{"up_to": 10, "unit_amount": "0.5"}, {"up_to": None, "unit_amount": "0.25", "flat_amount": 1}]
    convert = {"unit": "kB", "divide": 1000}
    charge = {
        "category": "error",
        "unit": "bytes",
        "convert": convert,
        "included": 2,
        "price": {"model": "graduated", "tiers": tiers},
    }
    return rated(book({"it": charge}), used(error=22_500)).lines[0]


WORDS = "22,500 bytes ÷ 1,000 = 22.5 kB; 2 included; 10 × 0.5 = 5; 10.5 × 0.25 = 2.625; tier fee 1"


def test_a_line_says_how_it_came_about_when_it_is_asked() -> None:
    line = a_line()
    assert line.working is not None
    assert line.explanation() == WORDS
    assert line.exact == Decimal("8.625")
    assert line.worked_out().working is None
    assert line.worked_out().explanation() == WORDS
    assert line.worked_out().worked_out() is not line


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda line: pickle.loads(pickle.dumps(line))])  # noqa: S301 - our own
def test_a_copy_of_a_line_says_the_same(again: Any) -> None:
    line, copied = a_line(), again(a_line())
    assert copied == line
    assert (copied != line) is False
    assert repr(copied) == repr(line)
    assert "tier fee" in repr(line)
    assert copied.explanation() == WORDS


def test_a_changed_line_keeps_the_words_that_it_had_and_is_another() -> None:
    line = a_line()
    changed = line._replace(quantity=Decimal(1))
    assert changed.explanation() == WORDS
    assert changed != line
    assert (changed == line) is False
    assert line != tuple(line)
    reworded = line._replace(steps=())
    assert reworded.steps == ()
    assert reworded != line
    with pytest.raises(AttributeError):
        line.amount = Decimal(0)  # type: ignore[misc]


@pytest.mark.parametrize("digits", [1, 28])
def test_words_do_not_depend_on_the_decimal_context(digits: int) -> None:
    line = a_line()
    with decimal.localcontext(decimal.Context(prec=digits, rounding=decimal.ROUND_UP, traps=[])):
        assert line.explanation() == WORDS
