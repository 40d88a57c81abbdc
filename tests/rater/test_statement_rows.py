"""A statement's row, made by the short way, is to the byte the one that its document makes."""

import datetime as dt
import decimal
import json
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from rater.counted import Counted
from rater.rate import rate
from rater.render import line_document
from schemas.statements import MOST_TOLD, CategoryUsage, OrgUsage, Statement
from tally.packed_rows import Row
from tally.statement_rows import statement_row
from tests.rater.books import NOVEMBER, book, contract, contracts, rated, used
from tests.rater.test_compiled import CATEGORIES, books

NEW_YORK = ZoneInfo("America/New_York")
plane = st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])  # books are written here as JSON escapes
texts = st.text(plane, max_size=8) | st.sampled_from(["", " ", "GB ", 'a "b"\\', "\u2028\x7f\t\n", "€", "0", "= 0"])
instants = st.none() | st.integers(0, 10**12).map(lambda micros: NOVEMBER.start + dt.timedelta(microseconds=micros))
quantities = st.integers(0, 400) | st.integers(-5, 2**56) | st.decimals(0, 10**6, places=3).map(abs)
uses = st.builds(
    lambda quantity, first, last: CategoryUsage(quantity, first, last, 3, 2), quantities, instants, instants
)
usages = st.dictionaries(st.sampled_from(CATEGORIES), uses)


def at_length(statement: Statement) -> list[Row]:
    """The lines of a row, each from its document."""
    rounded = {} if statement.rounding == "half_away" else {"rounding": statement.rounding}
    return [
        {
            "line_no": number,
            "category": "+".join(line.usage),
            "description": line.name,
            "quantity": line.quantity,
            "amount": line.amount,
            "detail": json.dumps(
                {**line_document(line), "plan": statement.plan, **rounded}, ensure_ascii=False, separators=(",", ":")
            ),
        }
        for number, line in enumerate(statement.lines, 1)
    ]


def lines_of(statement: Statement) -> list[Row]:
    row = statement_row(statement, "{}", None, 1, 2)
    assert (row["org_id"], row["total"], row["version"], row["rated_at"]) == (statement.org_id, statement.total, 1, 2)
    lines: list[Row] = list(row["lines"])
    return lines


@given(books(), usages, texts, texts, st.sampled_from(["half_away", "half_even", "up"]), st.data())
def test_every_row_is_that_of_the_document(
    charges: dict[str, Any],
    categories: dict[str, CategoryUsage],
    name: str,
    unit: str,
    rounding: str,
    data: st.DataObject,
) -> None:
    first = charges["charge-0"]
    first.update({"name": name, "unit": unit})
    if "convert" in first:
        first["convert"] = {**first["convert"], "unit": data.draw(texts)}
    if data.draw(st.booleans()):
        first["adjustments"] = [{"kind": "discount_percent", "percent": 10}]
    charges["fee"] = {"price": {"model": "flat", "amount": "9.99"}}
    agreed = contracts(
        contract(),
        contract(2, overrides=[{"charge": "charge-0", "multiply": "1.5"}], included={"charge-0": 3}),
        contract(3, **{"from": "2026-11-11"}),
    )
    prices = book(charges, rounding=rounding)
    for org_id in (1, 2, 3, 1):
        statement = rate(prices, agreed, OrgUsage(org_id, categories, "s"), NOVEMBER).statement
        if statement is not None:
            assert lines_of(statement) == at_length(statement)


@given(quantities, st.integers(0, 60), st.integers(0, 30))
def test_many_tiers_are_told_in_part_and_not_by_the_short_way(
    quantity: Decimal | int, tiers: int, included: int
) -> None:
    ladder = [{"up_to": 7 * place + 1, "unit_amount": "0.125", "flat_amount": place % 3} for place in range(tiers)]
    ladder.append({"up_to": None, "unit_amount": "0.5"})
    for model in ("graduated", "graduated_percentage"):
        given_tiers = [
            tier if model == "graduated" else {"up_to": tier["up_to"], "percent": tier["unit_amount"], "flat_amount": 1}
            for tier in ladder
        ]
        charge = {"category": "error", "included": included, "price": {"model": model, "tiers": given_tiers}}
        statement = rated(book({"it": charge}), used(error=quantity))
        assert lines_of(statement) == at_length(statement)


def test_the_short_way_is_the_one_that_is_taken() -> None:
    tiers = [{"up_to": 10, "unit_amount": "0.5"}, {"up_to": None, "unit_amount": "0.25", "flat_amount": 1}]
    charges = {
        "tiered": {"category": "error", "included": 2, "price": {"model": "graduated", "tiers": tiers}},
        "volume": {"category": "span", "price": {"model": "volume", "tiers": tiers}},
        "unit": {"category": "replay", "price": {"model": "per_unit", "unit_amount": "0.01"}},
    }
    statement = rated(book(charges), used(error=22_500, span=3, replay=0))
    for line in statement.lines:
        assert isinstance(line.working, Counted)
        assert line.working.text_of(line) is not None
    steep = [*({"up_to": place, "unit_amount": 1} for place in range(1, MOST_TOLD + 5)), {"up_to": None}]
    charge = {"category": "error", "price": {"model": "graduated", "tiers": steep}}
    line = rated(book({"it": charge}), used(error=100)).lines[0]
    assert isinstance(line.working, Counted)
    assert line.working.text_of(line) is None


def test_two_hours_of_one_name_are_told_apart() -> None:
    # When clocks go back: Python says that the two are equal, as long as they are of one zone.
    first = dt.datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK)
    second = first.replace(fold=1)
    charges = {"it": {"category": "error", "price": {"model": "per_unit", "unit_amount": "0.01"}}}
    for start, told in ((first, "05:30"), (second, "06:30"), (first, "05:30")):
        usage = OrgUsage(1, {"error": CategoryUsage(5, start, start)})
        [line] = lines_of(rated(book(charges), usage))
        assert f'"first_window":"2026-11-01T{told}:00Z"' in line["detail"]


def test_a_row_does_not_depend_on_the_decimal_context() -> None:
    charges = {
        "it": {"category": "error", "included": 1, "price": {"model": "per_unit", "unit_amount": "0.0123456789"}}
    }
    statement = rated(book(charges), used(error=123_456_789))
    expected = at_length(statement)
    with decimal.localcontext(decimal.Context(prec=2, rounding=decimal.ROUND_UP, traps=[])):
        assert lines_of(statement) == expected
