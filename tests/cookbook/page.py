"""docs/pricing.md: its recipes, each a fragment of a price book, usage, and the statements that come out.

python -m tests.cookbook.page        rates every recipe again and writes the answers into the page
"""

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from rater.account import NEW, Account
from rater.checks import check
from rater.files import book_from, contracts_from
from rater.interim import after_interim, interim
from rater.late import late_adjustment, posted_for
from rater.levels import levels_after
from rater.pool import of_events, of_parts
from rater.rate import rate
from rater.render import lines_of, shown_as_known, statement_document
from rater.settling import after_terms
from rater.strict_yaml import load
from rater.terms import Terms, billing_periods, terms
from schemas.catalogue import Catalogue, Category
from schemas.period import Period
from schemas.statements import CategoryUsage, KeptEvent, Line, OrgUsage, RatingFailure, Statement, UsagePart
from tests.repository.code import ROOT

PAGE: Final = ROOT / "docs" / "pricing.md"
RECIPE: Final = re.compile(
    r"^### (?P<title>.+)\n(?P<told>(?:(?!^#)[^`]|`[^`\n]+`)*?)"
    r"```yaml\n(?P<prices>[^`]+)```\n\n```yaml\n(?P<usage>[^`]+)```\n\n```text\n(?P<answer>[^`]*)```$",
    re.MULTILINE,
)
CHECKED: Final = re.compile(
    r"^## Mistakes.+\n[^`]+```yaml\n(?P<book>[^`]+)```\n\n```yaml\n(?P<contracts>[^`]+)```\n\n"
    r"`tally prices check [^`]+`[^`]+```text\n(?P<answer>[^`]*(?:`keep`[^`]*)?)```$",
    re.MULTILINE,
)
"""The book and the contracts with mistakes, and what is told of them."""
CATALOGUE: Final = Catalogue(tuple(Category(id=id_, name=name) for id_, name in enumerate(("error", "span", "replay"))))
ORG: Final = 42
WIDTH: Final = 78
"""Columns of a statement on the page."""
VERSION: Final = ("charges", "free", "adjustments", "budget")
PLAN: Final = ("currency", "rounding")


def recipes(text: str) -> Iterator[re.Match[str]]:
    """Yield the recipes of the page: `title`, `prices`, `usage` and `answer`."""
    return RECIPE.finditer(text)


def answer(prices: str, usage: str) -> str:
    """Return the statements of a recipe, as the page shows them.

    `prices` has fields of a plan version and of its plan, or `versions` whole, and fields of the `contract`. `usage` is
    by period (a month, or the day on which a period begins), in the order in which they are rated; "2026-11 so far"
    asks for an interim statement, and "2026-11 late" says what is known of a period that was closed. `account` is what
    was there before.
    """
    return _Chain(load(prices).content).all_of(load(usage).content)


def problems(book: str, contracts: str) -> str:
    """Return what is told of a price book and contracts."""
    found = check(("prices.yaml", book), ("contracts.yaml", contracts), CATALOGUE)
    return "\n".join(map(str, found))


@dataclass(slots=True)
class _Chain:
    """Periods one after the other, each with what the ones before it left."""

    content: Mapping[str, Any]
    account: Account = NEW
    sealed: dict[str, Statement] = field(default_factory=dict)
    corrections: tuple[Line, ...] = ()
    book: Any = None
    contracts: Any = None

    def __post_init__(self) -> None:
        found: dict[str, Any] = dict(self.content)
        agreed = found.pop("contract", {})
        plan: dict[str, Any] = {"currency": "USD", **{name: found.pop(name) for name in PLAN if name in found}}
        versions = found.pop("versions", None) or [
            {"from": "2020-01-01", "charges": FEE, **{name: found.pop(name) for name in VERSION if name in found}}
        ]
        plans = {"plan": {**plan, "versions": versions}}
        assert not found, f"a recipe says {', '.join(found)}, which nothing reads"
        contract = {"org_id": ORG, "id": "contract", "plan": "plan", "currency": plan["currency"], "from": "2026-01-01"}
        self.book = book_from("prices.yaml", _yaml({"book": "book", "revision": 1, "plans": plans}))
        self.contracts = contracts_from("contracts.yaml", _yaml({"contracts": [{**contract, **agreed}]}))

    def all_of(self, usage: Mapping[str, Any]) -> str:
        periods = dict(usage)
        self.account = Account(**periods.pop("account", {}))
        told = [(name, self._one(name, _usage(found or {}, name))) for name, found in periods.items()]
        shown = [(name, text) for name, text in told if text]
        if len(shown) == 1:
            return shown[0][1]
        return "\n\n".join(f"{name}\n{'=' * len(name)}\n{text}" for name, text in shown)

    def _one(self, name: str, categories: Mapping[str, CategoryUsage]) -> str:
        when, _, how = name.partition(" ")
        period = self._period(when)
        usage = OrgUsage(ORG, categories, "snapshot")
        found = terms(self.book, self.contracts, ORG, period)
        if isinstance(found, RatingFailure):
            return f"not rated: {found.detail} ({found.reason})"
        rank = {category: number for number, category in enumerate(sorted(categories))}
        corrections = self.corrections if not how else ()
        rating = rate(self.book, self.contracts, usage, period, self.account, rank=rank, corrections=corrections)
        if rating.failures or rating.statement is None:
            return "\n".join(f"not rated: {one.detail} ({one.reason})" for one in rating.failures)
        if how == "late":
            posted = posted_for(self.sealed[when])
            self.corrections += late_adjustment(rating.statement, posted)
            return ""
        if how == "so far":
            assert found.contract.invoice_thresholds is not None, "an interim statement has thresholds"
            early = interim(rating.statement, found.contract.invoice_thresholds, self.account)
            if early is None:
                return "no threshold is reached: nothing is due yet"
            number = len(self.account.statements) + 1
            self.account = after_interim(self.account, early, f"interim statement {number}")
            return _told(early)
        assert not how, f"{name}: say a period, a period and 'so far', or a period and 'late'"
        self.corrections = ()
        self.sealed[when] = rating.statement
        self._settle(found, usage, rating.statement)
        return _told(rating.statement)

    def _settle(self, found: Terms, usage: OrgUsage, statement: Statement) -> None:
        levels = levels_after(found.charges.values(), usage, statement.period, self.account.levels)
        self.account = after_terms(found, self.account, statement, levels=levels)

    def _period(self, name: str) -> Period:
        month = Period.parse(name[:7])
        periods = billing_periods(self.contracts, ORG, month)
        if name == month.name:
            return periods[0] if periods else month
        day = dt.date.fromisoformat(name)
        zone = self.contracts.by_org[ORG][0].contract.zone
        return next(one for one in periods if one.start == Period.days(day, day + dt.timedelta(days=1), zone).start)


FEE: Final = {"base": {"price": {"model": "flat", "amount": "0"}}}


def _told(statement: Statement) -> str:
    found = {**statement_document(statement), "period": statement.period.name}
    return "\n".join(line.rstrip() for line in lines_of(shown_as_known(found, None, statement.period), WIDTH))


def _usage(found: Mapping[str, Any], period: str) -> dict[str, CategoryUsage]:
    return {category: _category(value, period) for category, value in found.items()}


def _category(value: Any, period: str) -> CategoryUsage:
    """Return a category's usage: a total; quantities by instant (one event each); or events with what they carry."""
    if isinstance(value, Mapping):
        return of_parts(UsagePart(_at(at), quantity, 1, quantity) for at, quantity in value.items())
    if not isinstance(value, list):
        return CategoryUsage(value)
    first = dt.datetime.fromisoformat(f"{period[:7]}-01T00:00Z")
    events = [_event(dict(event), first) for event in value]
    if any("at" in event for event in value) or not all(
        event.keys() - {"quantity", "value", "amount"} for event in value
    ):
        return of_events(events)
    return of_parts(UsagePart(event.at, event.quantity, 1, event.quantity, event.dimensions) for event in events)


def _event(found: dict[str, Any], otherwise: dt.datetime) -> KeptEvent:
    at = found.pop("at", None)
    quantity, value, amount = found.pop("quantity", 1), found.pop("value", ""), found.pop("amount", None)
    dimensions = json.dumps(found, sort_keys=True, separators=(",", ":")) if found else ""
    return KeptEvent(
        otherwise if at is None else _at(at), quantity, value, None if amount is None else Decimal(amount), dimensions
    )


def _at(told: str | dt.date) -> dt.datetime:
    when = dt.datetime.fromisoformat(str(told))
    return when if when.tzinfo else when.replace(tzinfo=dt.UTC)


def _yaml(content: Any) -> str:
    """Return content as JSON, which is YAML: decimals quoted, days as text."""
    return json.dumps(content, default=str)


def main() -> None:
    """Rate every recipe again and write the answers into the page."""
    text = PAGE.read_text(encoding="utf-8")

    def written(found: re.Match[str]) -> str:
        start, end = found.start("answer") - found.start(), found.end("answer") - found.start()
        return f"{found[0][:start]}{answer(found['prices'], found['usage'])}\n{found[0][end:]}"

    def checked(found: re.Match[str]) -> str:
        start, end = found.start("answer") - found.start(), found.end("answer") - found.start()
        return f"{found[0][:start]}{problems(found['book'], found['contracts'])}\n{found[0][end:]}"

    PAGE.write_text(CHECKED.sub(checked, RECIPE.sub(written, text)), encoding="utf-8")


if __name__ == "__main__":
    main()
