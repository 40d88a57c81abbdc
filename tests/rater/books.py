"""Short constructors: a book of one plan and the contracts on it."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rater.book import Contracts, PriceBook
from rater.files import book_from, contracts_from
from rater.rate import rate
from schemas.period import Period
from schemas.statements import CategoryUsage, OrgUsage, Rating, Statement

NOVEMBER = Period.month(2026, 11)


def book(
    charges: Mapping[str, Any] | None = None, *, revision: int = 1, free: tuple[str, ...] = (), **plan: Any
) -> PriceBook:
    """A book whose plan `plan` has these charges from 2020 on; `plan` changes the plan."""
    version = {"from": "2020-01-01", "charges": charges or {"base": {"price": {"model": "flat", "amount": "1"}}}}
    found = {"currency": "USD", "versions": [{**version, "free": list(free)}], **plan}
    return book_from("book.yaml", _json({"book": "book", "revision": revision, "plans": {"plan": found}}))


def contract(org_id: int | str = "*", **changes: Any) -> dict[str, Any]:
    """A contract on plan `plan` from 2020 on."""
    return {"org_id": org_id, "id": "contract", "plan": "plan", "currency": "USD", "from": "2020-01-01", **changes}


def contracts(*found: Mapping[str, Any]) -> Contracts:
    """Contracts; without any, everyone's."""
    return contracts_from("contracts.yaml", _json({"contracts": list(found) or [contract()]}))


def used(org_id: int = 1, **quantities: int | Decimal) -> OrgUsage:
    """Usage by category."""
    return OrgUsage(org_id, {name: CategoryUsage(quantity) for name, quantity in quantities.items()}, "s")


def rated(prices: PriceBook, usage: OrgUsage, agreed: Contracts | None = None, period: Period = NOVEMBER) -> Statement:
    """The statement of a rating that must not fail."""
    rating = rate(prices, agreed or contracts(), usage, period)
    assert rating.failures == ()
    assert rating.statement is not None
    return rating.statement


def failed(rating: Rating) -> list[tuple[str, str]]:
    """The failures of a rating as (reason, category)."""
    return [(failure.reason, failure.category) for failure in rating.failures]


def _json(content: Any) -> str:
    return json.dumps(content, default=lambda number: format(number, "f"))  # a subset of YAML, with decimals quoted
