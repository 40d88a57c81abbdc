"""Short ways to ask what holds in a month, and what the statements that begin in it come to."""

from typing import Any

from rater.contract import Contracts
from rater.terms import Terms, billing_periods, terms
from schemas.period import Period
from tests.rater.books import NOVEMBER, rated, used

NEW_YORK = {"zone": "America/New_York"}
FEE = {"base": {"price": {"model": "flat", "amount": 30}}}


def fee(amount: Any, **more: Any) -> dict[str, Any]:
    return {"base": {"price": {"model": "flat", "amount": amount, **more}}}


def version(since: str, charges: dict[str, Any], until: str | None = None) -> dict[str, Any]:
    return {"from": since, **({"until": until} if until else {}), "charges": charges}


def held(prices: Any, agreed: Contracts, period: Period = NOVEMBER) -> Terms:
    found = terms(prices, agreed, 1, period)
    assert isinstance(found, Terms), found
    return found


def lines(prices: Any, agreed: Contracts, month: str = "2026-11") -> list[list[str]]:
    """The amounts of every statement of the billing periods that begin in a month, with the kind where it is no fee."""
    found = []
    for period in billing_periods(agreed, 1, Period.parse(month)):
        statement = rated(prices, used(), agreed, period)
        found.append([f"{line.amount:f}" for line in statement.lines])
    return found


def months(prices: Any, agreed: Contracts, first: str, count: int) -> list[list[str]]:
    year, month = map(int, first.split("-"))
    names = [f"{year + (month - 1 + n) // 12}-{(month - 1 + n) % 12 + 1:02}" for n in range(count)]
    return [statement for name in names for statement in lines(prices, agreed, name)]
