"""Statements for people, as text that can be checked with a pocket calculator, and for machines, as plain JSON."""

import datetime as dt
from collections.abc import Iterator, Mapping
from decimal import Decimal
from textwrap import wrap
from typing import Any, Final

from rater.shown import ShownStatement, instant, money, shown
from schemas.period import Period
from schemas.prices import Step
from schemas.statements import Line, Rating, RatingFailure, Statement
from schemas.verdicts import END_OF_TIME

__all__ = [
    "completeness",
    "document",
    "failure_document",
    "instant",
    "is_provisional",
    "line_document",
    "lines_of",
    "money",
    "shown_as_known",
    "statement_document",
    "text",
    "text_of",
]

WIDTH: Final = 96
INDENT: Final = "    "
FACT: Final = len("Usage snapshot")

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
FOREVER: Final = _EPOCH + dt.timedelta(microseconds=END_OF_TIME)
"""What usage is complete to when every log was finite and is read to its end."""


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
    parts: list[str] = []
    if rating.statement is not None:
        period = rating.statement.period
        kept = {**statement_document(rating.statement), "period": period.name}
        parts.append(text_of(shown_as_known(kept, complete_to, period)))
    if rating.failures:
        parts.append("INCOMPLETE, not stored. What could not be priced:")
        parts.extend(f"  {failure}" for failure in rating.failures)
    return "\n".join(parts)


def shown_as_known(found: Mapping[str, Any], complete_to: dt.datetime | None, period: Period) -> ShownStatement:
    """Return how a statement's document is shown, with a sentence on how complete the usage is."""
    told = completeness(complete_to, period)
    if is_provisional(complete_to, period):
        return shown(found, warnings=[told])
    return shown(found, remarks=[told])


def text_of(statement: ShownStatement) -> str:
    """Return a statement as text of at most WIDTH columns; only a word that is longer goes past them."""
    facts = [f"{name:<{FACT}}  {value}" for name, value in statement.facts]
    head = [*wrap(statement.title, WIDTH), *wrap(statement.subtitle, WIDTH), ""]
    return "\n".join([*head, *lines_of(statement), "", *statement.remarks, *statement.warnings, *facts])


def lines_of(statement: ShownStatement, width: int = WIDTH) -> Iterator[str]:
    """Yield the lines of a statement with their notes, and its total."""
    column = max(len(amount) for amount in (statement.total, *(line.amount for line in statement.lines)))
    for line in statement.lines:
        yield from _row(line.name, line.amount, column, width)
        for note in line.notes:
            yield from wrap(note, width, initial_indent=INDENT, subsequent_indent=INDENT * 2, break_on_hyphens=False)
    yield " " * (width - column) + "-" * column
    yield from _row(f"Total {statement.currency}", statement.total, column, width)


def _row(name: str, amount: str, column: int, width: int) -> Iterator[str]:
    room = width - column - 1
    first, *rest = wrap(name.strip(), room) or [""]
    yield f"{first:<{room}} {amount:>{column}}"
    yield from rest


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
    line = line.worked_out()
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
        **_beyond_a_price(line),
    }


def _beyond_a_price(line: Line) -> dict[str, Any]:
    """Return what only some lines have: what they adjust, how they are spread, what was refused, the part meant."""
    found: dict[str, Any] = {} if line.kind == "charge" else {"kind": line.kind, "applies_to": list(line.applies_to)}
    if line.spread:
        found["spread"] = {key: _number(part) for key, part in line.spread.items()}
    if line.refused:
        found["refused"] = _number(line.refused)
    if line.part_of_period is not None:
        found["part_of_period"] = [instant(when) for when in line.part_of_period]
    return found


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
        **({"part": step.part} if step.part else {}),
        **({"text": step.text} if step.text else {}),
    }


def _number(value: Decimal) -> str:
    text = f"{value:f}"  # as `plain`, without separators
    return text.rstrip("0").rstrip(".") if "." in text else text
