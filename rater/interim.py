"""Interim statements: usage is billed as soon as it reaches an amount, and the closing statement takes it off again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from pydantic import BaseModel, Field, model_validator

from rater.account import Account
from rater.sheet import nets_of
from schemas.money import exact
from schemas.prices import STRICT, Positive, Step, plain
from schemas.statements import Line, Statement

ZERO = Decimal(0)


class InvoiceThresholds(BaseModel):
    """Amounts of usage in a period at which it is billed at once; past the last, every `then_every` more."""

    model_config = STRICT

    amounts: list[Positive] = Field(min_length=1, max_length=1000)
    then_every: Positive | None = None

    @model_validator(mode="after")
    def _rise(self) -> "InvoiceThresholds":
        if any(low >= high for low, high in zip(self.amounts, self.amounts[1:], strict=False)):
            raise ValueError("the amounts must rise, each once")
        return self

    def reached(self, amount: Decimal) -> Decimal:
        """Return the highest threshold that an amount has reached (0: none); reaching is enough."""
        reached = max((step for step in self.amounts if step <= amount), default=ZERO)
        if self.then_every is not None and reached == self.amounts[-1]:
            with exact():
                reached += (amount - reached) // self.then_every * self.then_every
        return reached


def interim(statement: Statement, thresholds: InvoiceThresholds, account: Account) -> Statement | None:
    """Return the interim statement that is due, given the statement of the usage so far; None: none is due.

    It is due when what usage comes to has reached a threshold that what was invoiced before had not. It bills the
    usage of the period so far less what was invoiced before; fees, and what is agreed for the period as a whole
    (minimums, commitments, credit), are left to the closing statement.
    """
    with exact():
        lines = tuple(_usage(statement.lines))
        amount = sum((line.amount for line in lines), ZERO)
        before = sum(account.invoiced.values(), ZERO)
        if thresholds.reached(amount) <= thresholds.reached(before):
            return None
        lines += tuple(line for line in statement.lines if line.kind == "already_invoiced")
        total = sum((line.amount for line in lines), ZERO)
        assert total == amount - before, "the statement is rated with another account"
    return statement._replace(lines=lines, total=total)


def billed(statement: Statement) -> dict[str, Decimal]:
    """Return what an interim statement bills each charge; it sums to its total."""
    with exact():
        return {charge: amount for charge, amount in nets_of(statement.lines).items() if amount}


def with_invoiced(account: Account, parts: Mapping[str, Decimal], name: str = "") -> Account:
    """Return the account with what an interim statement billed, by charge, so that the closing one takes it off.

    `name` is what the closing one calls it.
    """
    with exact():
        invoiced: dict[str, Decimal] = dict(account.invoiced)
        for charge, part in parts.items():
            invoiced[charge] = invoiced.get(charge, ZERO) + part
        named = ((name, sum(parts.values(), ZERO)),) if name else ()
    invoiced = {charge: amount for charge, amount in invoiced.items() if amount}
    return replace(account, invoiced=invoiced, statements=(*account.statements, *named))


def after_interim(account: Account, statement: Statement, name: str = "") -> Account:
    """Return the account as an interim statement leaves it."""
    return with_invoiced(account, billed(statement), name)


def _usage(lines: Sequence[Line]) -> list[Line]:
    """Return the lines of usage, and what of discounts and caps falls on them."""
    counted = {line.charge for line in lines if line.kind == "charge" and line.usage}
    found: list[Line] = []
    for line in lines:
        if line.kind == "charge" and line.usage:
            found.append(line)
        elif line.kind in ("cap", "discount"):
            parts = {charge: part for charge, part in line.spread.items() if charge in counted}
            if len(parts) == len(line.spread):
                found.append(line)
            elif any(parts.values()):
                found.append(_part_of(line, parts))
    return found


def _part_of(line: Line, parts: Mapping[str, Decimal]) -> Line:
    amount = sum(parts.values(), ZERO)
    steps = (Step(f"of {plain(line.amount)} falls on usage:", amount),)
    return line._replace(steps=steps, exact=amount, amount=amount, applies_to=tuple(parts), spread=parts)
