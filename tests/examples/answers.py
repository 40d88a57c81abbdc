"""Bills rated by the product, and the number of them that a case asks for."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, get_args

from rater.account import Account
from rater.burning import opening
from rater.files import book_from, contracts_from
from rater.interim import after_interim, interim
from rater.late import late_adjustment, posted_for
from rater.pool import Lacking
from rater.rate import rate
from rater.settling import after_terms
from rater.sheet import nets_of
from rater.terms import Terms, terms
from schemas.errors import TallyError
from schemas.money import MINOR_STEPS, exact, round_to
from schemas.period import Period
from schemas.statements import Line, OrgUsage, Statement
from tests.examples.case import SINCE, ZERO, Bill, Case, Charge, NotUnderstood, written

NEXT = Period.month(2026, 12)
WHOLE: Final = "JPY"
"""Stands in where an example counts cents: its minor unit is 1."""
FINEST: Final = "CLF"
"""Stands in where an example is in no currency: none has a smaller minor unit."""
LACKING: Final = frozenset(get_args(Lacking))
"""Failures of an example that tells a total, and not the events or parts that its price is for."""


@dataclass(frozen=True)
class Answer:
    """What the product answers to a case: the amount, and the parts that it is made of, in several cuts."""

    amount: Decimal
    breakdowns: tuple[tuple[Decimal, ...], ...] = ()


@dataclass(frozen=True)
class Rated:
    """A bill that was rated: its statement and the account that it leaves."""

    statement: Statement
    account: Account
    terms: Terms


def answer_to(case: Case, currency: str, expected: Decimal) -> Answer:
    """Rate a case.

    An expected amount that is finer than the currency's minor unit, or in no currency at all, is compared with the
    unrounded amount, unless the example says how it rounds.
    """
    if case.direct is not None:
        return Answer(case.direct())
    if currency.endswith("cents"):
        currency = WHOLE
    step = MINOR_STEPS.get(currency)
    on_the_line = step is not None and (case.rounding is None or case.rounding.to == step)
    finer = step is not None and _places(expected) < _places(step)  # 18.690 says more than 18.69 does
    rounded = on_the_line and (case.rounding is not None or not finer)
    money = currency if on_the_line else FINEST
    rated = [[_rated(bill, case, money) for bill in bills] for bills in case.moments]
    if case.stages:
        return _closing(case, rated[0][0], money)
    if case.asked == "late":
        return _late(rated)
    if case.asked in ("left", "available", "room"):
        return _of_the_account(case, rated[-1][-1])
    amounts = [sum((_amount(found.statement.lines, case, rounded=rounded) for found in bills), ZERO) for bills in rated]
    with exact():
        deltas = tuple(after - before for before, after in zip([ZERO, *amounts], amounts, strict=False))
    if case.before is not None and amounts[0] != case.before:
        raise NotUnderstood(f"what was billed before came to {amounts[0]:f}, and not to {case.before:f}")
    lines = [line for found in rated[-1] for line in found.statement.lines]
    if len(rated) > 1:
        lines = _new(lines, [line for found in rated[-2] for line in found.statement.lines])
    return Answer(amounts[-1] if case.total else deltas[-1], (deltas, *_breakdowns(lines)))


def _places(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _rated(bill: Bill, case: Case, currency: str) -> Rated:
    versions = [{"from": SINCE, "charges": _named(bill.charges), **bill.plan}]
    for since, charges in bill.changed:
        versions[-1]["until"] = since
        versions.append({"from": since, "charges": _named(charges), **bill.plan})
    plan: dict[str, Any] = {"currency": currency, "versions": versions}
    if case.rounding is not None:
        plan["rounding"] = case.rounding.mode
    contract = {"org_id": 1, "id": "example", "plan": "example", "currency": currency, "from": SINCE, **bill.contract}
    book = book_from("example", _document({"book": "example", "revision": 1, "plans": {"example": plan}}))
    contracts = contracts_from("example", _document({"contracts": [contract]}))
    counted = [place for place, charge in enumerate(bill.charges) if charge["price"]["model"] != "flat"]
    usage = OrgUsage(1, {f"category-{place}": use for place, use in zip(counted, bill.uses, strict=True)})
    rating = rate(book, contracts, usage, bill.period, bill.account)
    if rating.statement is None or rating.failures:
        told = "; ".join(map(str, rating.failures))
        if any(failure.reason in LACKING for failure in rating.failures):
            raise NotUnderstood(f"usage is told without what the price asks for: {told}")
        raise TallyError(told)
    found = terms(book, contracts, 1, bill.period)
    assert isinstance(found, Terms)
    return Rated(rating.statement, after_terms(found, bill.account, rating.statement), found)


def _document(content: dict[str, Any]) -> str:
    """Return a document of a book or a contract; decimals of an example stand in it as text."""
    return json.dumps(content, default=written)


def _named(charges: Sequence[Charge]) -> dict[str, Any]:
    """Return charges by id; each that counts something counts a category of its own."""
    named = {}
    for place, charge in enumerate(charges):
        counts = charge["price"]["model"] != "flat"
        named[f"charge-{place}"] = {**charge, **({"category": f"category-{place}"} if counts else {})}
    return named


def _amount(lines: Iterable[Line], case: Case, *, rounded: bool) -> Decimal:
    with exact():
        if case.asked == "units":
            return sum((line.quantity for line in lines), ZERO)
        if case.asked == "refund":
            return -sum((line.amount for line in lines if line.kind == "refund"), ZERO)
        asked = [line for line in lines if case.asked in ("amount", line.kind)]
        amounts = [line.amount if rounded else line.exact for line in asked]
        rule = case.rounding
        if rule is not None and not rounded:  # to a step that is no currency's: the product's rounding, by line
            amounts = [round_to(amount, rule.to, rule.mode) for amount in amounts]
        total = sum(amounts, ZERO)
        if (
            rule is not None
            and rule.once
            and total != round_to(sum((line.exact for line in asked), ZERO), rule.to, rule.mode)
        ):
            raise NotUnderstood("a rounding of the total of several lines: the product rounds each line")
        return total


def _new(lines: list[Line], before: list[Line]) -> list[Line]:
    """Return the lines that the earlier statement did not have."""
    left = list(before)
    found = []
    for line in lines:
        same = next(
            (old for old in left if (old.charge, old.amount, old.exact) == (line.charge, line.amount, line.exact)), None
        )
        if same is None:
            found.append(line)
        else:
            left.remove(same)
    return found


def _told(line: Line) -> tuple[Any, ...]:
    return line.charge, line.kind, line.amount, line.exact, line.explanation()


def _breakdowns(lines: Sequence[Line]) -> tuple[tuple[Decimal, ...], ...]:
    """Return the lines' amounts, their steps', what each charge comes to, what paid for it, and parts by name."""
    amounts, exacts = tuple(line.amount for line in lines), tuple(line.exact for line in lines)
    steps = tuple(step.amount for line in lines for step in line.steps)
    by_part: dict[tuple[str, str], Decimal] = {}
    for line in lines:
        for step in line.steps:
            key = line.charge if line.kind == "charge" else "", step.part
            by_part[key] = by_part.get(key, ZERO) + step.amount
    parts: dict[str, Decimal] = {}
    for (_, part), amount in by_part.items():
        parts[part] = parts.get(part, ZERO) + amount
    credit = tuple(-line.amount for line in lines if line.kind == "credit")
    return amounts, exacts, steps, tuple(nets_of(lines).values()), credit, tuple(parts.values())


def _of_the_account(case: Case, found: Rated) -> Answer:
    left = {balance.start: balance.left for balance in found.account.balances}
    with exact():
        if case.asked == "left":
            # What is used up of a recurring grant is on the account no more.
            chosen = [left.get(case.since, ZERO)] if case.since is not None else list(left.values())
            return Answer(sum(chosen, ZERO))
        if case.asked == "available":
            grants = found.terms.contract.grants
            return Answer(sum((balance.left for balance in opening(grants, found.account, NEXT)), ZERO))
        billed = sum((line.quantity - line.refused for line in found.statement.lines), ZERO)
        return Answer(max(billed - (case.before or ZERO), ZERO))


def _closing(case: Case, last: Rated, currency: str) -> Answer:
    """Bill usage stage by stage where a threshold is reached, and close the period."""
    (bill,) = case.moments[0]
    account, billed = bill.account, []
    for use in case.stages:
        now = _rated(replace(bill, uses=(use,), account=account), case, currency)
        agreed = now.terms.contract.invoice_thresholds
        assert agreed is not None
        due = interim(now.statement, agreed, account)
        if due is not None:
            billed.append(due.total)
            account = after_interim(account, due)
    closing = _rated(replace(bill, account=account), case, currency).statement
    off = sum((line.amount for line in closing.lines if line.kind == "already_invoiced"), ZERO)
    gross = closing.total - off
    assert last.statement.total == gross
    return Answer(closing.total, ((*billed, closing.total), (*billed, gross, off), (gross, off)))


def _late(rated: Sequence[Sequence[Rated]]) -> Answer:
    """Return what a period's statement is corrected by, and what the next period comes to by itself."""
    (posted,), (known,), (after,) = rated
    lines = late_adjustment(known.statement, posted_for(posted.statement))
    correction = sum((line.amount for line in lines), ZERO)
    return Answer(correction, ((correction, after.statement.total),))
