"""Statements for people, as text that can be checked with a pocket calculator, and for machines, as plain JSON."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from textwrap import wrap
from typing import Any, Final

from schemas.money import MINOR_UNITS
from schemas.period import Period
from schemas.prices import Step, plain
from schemas.statements import Line, Rating, RatingFailure, Statement
from schemas.verdicts import END_OF_TIME

WIDTH: Final = 96
INDENT: Final = "    "

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
FOREVER: Final = _EPOCH + dt.timedelta(microseconds=END_OF_TIME)
"""What usage is complete to when every log was finite and is read to its end."""


def money(amount: Decimal, currency: str) -> str:
    """Return an amount with all digits of its currency's minor unit: `1,234.50`."""
    text = f"{amount:,f}"
    whole, _, fraction = text.partition(".")
    digits = MINOR_UNITS[currency]
    return f"{whole}.{fraction.ljust(digits, '0')}" if digits else text


def instant(when: dt.datetime) -> str:
    """Return an instant as RFC 3339, with no more digits of a second than it has."""
    return when.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def is_provisional(complete_to: dt.datetime | None, period: Period) -> bool:
    """Say whether usage of the period may still change."""
    return complete_to is None or complete_to < period.end


def completeness(complete_to: dt.datetime | None, period: Period) -> str:
    """Return how complete usage of the period is, in a sentence."""
    if complete_to is None:
        return f"Provisional: how complete the usage of {period} is cannot be said yet; these amounts may change."
    if complete_to < period.end:
        return f"Provisional: usage is complete to {instant(complete_to)} only; these amounts may change."
    if complete_to >= FOREVER:
        return "Usage is complete: every log is read to its end."
    return f"Usage of {period} is complete (to {instant(complete_to)})."


def text(rating: Rating, *, complete_to: dt.datetime | None) -> str:
    """Return a rating as text; with failures it says that the statement is incomplete and why."""
    parts = [] if rating.statement is None else list(_statement(rating.statement, complete_to))
    if rating.failures:
        parts.append("INCOMPLETE, not stored. What could not be priced:")
        parts.extend(f"  {failure}" for failure in rating.failures)
    return "\n".join(parts)


def _statement(statement: Statement, complete_to: dt.datetime | None) -> Iterator[str]:
    period, currency = statement.period, statement.currency
    yield f"Statement for organisation {statement.org_id}, {period}"
    yield f"{instant(period.start)} to {instant(period.end)}; contract {statement.contract}, plan {statement.plan}"
    yield ""
    total = money(statement.total, currency)
    column = max([len(total), *(len(money(line.amount, currency)) for line in statement.lines)])
    for line in statement.lines:
        yield _row(line.name, money(line.amount, currency), column)
        for told in _explained(line, currency):
            yield from wrap(told, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT * 2, break_on_hyphens=False)
    yield " " * (WIDTH - column) + "-" * column
    yield _row(f"Total {currency}", total, column)
    yield ""
    firsts = [line.first_window for line in statement.lines if line.first_window]
    lasts = [line.last_window for line in statement.lines if line.last_window]
    if firsts and lasts:
        yield f"Usage windows from {instant(min(firsts))} to {instant(max(lasts))} (their starts)."
    else:
        yield "Nothing was used."
    yield completeness(complete_to, period)
    yield f"Usage snapshot  {statement.snapshot_id}"
    yield f"Price book      {statement.book} revision {statement.book_revision}, {statement.book_hash[:16]}"
    yield f"Contract        {statement.contract}, {statement.contract_hash[:16]}"


def _row(name: str, amount: str, column: int) -> str:
    room = WIDTH - column - 1
    name = name if len(name) <= room else name[: room - 1] + "…"
    return f"{name:<{room}} {amount:>{column}}"


def _explained(line: Line, currency: str) -> Iterator[str]:
    if line.usage:
        used = {category: use for category, use in line.usage.items() if use.quantity} or line.usage
        counted = " + ".join(f"{plain(Decimal(use.quantity))} {category}" for category, use in used.items())
        first, last = line.first_window, line.last_window
        windows = f", windows {instant(first)} to {instant(last)}" if first and last else ""
        yield f"used: {counted}{windows}; price from {line.effective}"
    told = line.explanation() or "nothing is owed"
    owed = [step for step in line.steps if step.amount]
    if len(owed) > 1:
        told += f"; together {plain(line.exact)}"
    if line.exact != line.amount:
        told += f"; rounded to {money(line.amount, currency)}"
    yield told


def document(rating: Rating, *, complete_to: dt.datetime | None, period: Period) -> dict[str, Any]:
    """Return a rating as plain JSON: decimals as strings, instants as RFC 3339. Without a statement it is null."""
    statement = rating.statement
    return {
        "org_id": rating.org_id,
        "period": period.name,
        "complete_to": None if complete_to is None else instant(complete_to),
        "provisional": is_provisional(complete_to, period),
        "complete": rating.complete,
        "failures": [failure_document(failure) for failure in rating.failures],
        "statement": None if statement is None else statement_document(statement),
    }


def statement_document(statement: Statement) -> dict[str, Any]:
    """Return a statement as plain JSON."""
    return {
        "org_id": statement.org_id,
        "contract": statement.contract,
        "plan": statement.plan,
        "period_start": instant(statement.period.start),
        "period_end": instant(statement.period.end),
        "currency": statement.currency,
        "total": money(statement.total, statement.currency).replace(",", ""),
        "lines": [
            {
                "line": number,
                "name": line.name,
                "amount": money(line.amount, statement.currency).replace(",", ""),
                **line_document(line),
            }
            for number, line in enumerate(statement.lines, 1)
        ],
        "book": statement.book,
        "book_revision": statement.book_revision,
        "book_hash": statement.book_hash,
        "contract_hash": statement.contract_hash,
        "snapshot_id": statement.snapshot_id,
    }


def line_document(line: Line) -> dict[str, Any]:
    """Return what made a line, as plain JSON: usage, price version, steps, and the sum before it was rounded."""
    return {
        "charge": line.charge,
        "quantity": _number(line.quantity),
        "unit": line.unit,
        "usage": {
            category: {
                "quantity": _number(Decimal(use.quantity)),
                "first_window": None if use.first_window is None else instant(use.first_window),
                "last_window": None if use.last_window is None else instant(use.last_window),
            }
            for category, use in line.usage.items()
        },
        "price_from": line.effective.isoformat(),
        "conversion": line.conversion,
        "steps": [_step_document(step) for step in line.steps],
        "exact": _number(line.exact),
        "explanation": line.explanation(),
    }


def failure_document(failure: RatingFailure) -> dict[str, Any]:
    """Return a failure as plain JSON."""
    return {
        "org_id": failure.org_id,
        "period": failure.period.name,
        "reason": failure.reason,
        "category": failure.category,
        "detail": failure.detail,
    }


def _step_document(step: Step) -> dict[str, Any]:
    return {
        "what": step.what,
        "quantity": None if step.quantity is None else _number(step.quantity),
        "price": None if step.price is None else _number(step.price),
        "amount": _number(step.amount),
    }


def _number(value: Decimal) -> str:
    return plain(value).replace(",", "")
