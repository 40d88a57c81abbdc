"""A statement as a person reads it, from its document: the lines with their arithmetic, and what they rest on.

The document (`rater.render.statement_document`, or the same read back from the store) is all that is needed, so that a
statement that was kept is shown as it was rated, whatever the price book says today.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from schemas.money import MINOR_UNITS, exact
from schemas.prices import plain

ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class ShownLine:
    """One line: what it is called, its amount with all digits of the currency, and the notes that explain it."""

    name: str
    amount: str
    kind: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShownStatement:
    """One statement: `facts` are what it rests on, as names and values; `remarks` and `warnings` whole sentences."""

    title: str
    subtitle: str
    currency: str
    lines: tuple[ShownLine, ...]
    total: str
    remarks: tuple[str, ...]
    warnings: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


def shown(document: Mapping[str, Any], *, remarks: Sequence[str] = (), warnings: Sequence[str] = ()) -> ShownStatement:
    """Return how a statement's document is shown; `remarks` say how complete it is, `warnings` that it may change.

    What is printed can be printed: characters that a terminal would obey are made visible.
    """
    currency = str(document["currency"])
    plan = f", plan {document['plan']}" if document.get("plan") else ""
    period = document.get("period") or f"{document['period_start']} to {document['period_end']}"
    what = f"Interim statement {document['interim']}" if document.get("interim") else "Statement"
    return ShownStatement(
        title=f"{what} for organisation {document['org_id']}, {period}",
        subtitle=f"{document['period_start']} to {document['period_end']}; contract {document['contract']}{plan}",
        currency=currency,
        lines=tuple(_line(line, currency) for line in document["lines"]),
        total=money(Decimal(document["total"]), currency),
        remarks=(*_windows(document["lines"]), *remarks),
        warnings=tuple(warnings),
        facts=tuple(_facts(document)),
    )


def money(amount: Decimal, currency: str) -> str:
    """Return an amount with all digits of its currency's minor unit: `1,234.50`."""
    whole, _, fraction = f"{amount:,f}".partition(".")
    fraction = fraction.rstrip("0").ljust(MINOR_UNITS.get(currency, 0), "0")
    return f"{whole}.{fraction}" if fraction else whole


def instant(when: dt.datetime) -> str:
    """Return an instant as RFC 3339, with no more digits of a second than it has."""
    return when.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def visible(text: str) -> str:
    """Return a text on one line, with what a terminal would obey written out."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _line(line: Mapping[str, Any], currency: str) -> ShownLine:
    return ShownLine(
        name=visible(str(line["name"])),
        amount=money(Decimal(line["amount"]), currency),
        kind=str(line.get("kind", "charge")),
        notes=tuple(visible(note) for note in _notes(line, currency)),
    )


def _notes(line: Mapping[str, Any], currency: str) -> Iterator[str]:
    used = _used(line["usage"])
    if used:
        yield f"used: {used}; price from {line['price_from']}"
    if part := line.get("part_of_period"):
        yield f"for {part[0]} to {part[1]}"
    told = str(line["explanation"]) or "nothing is owed"
    amounts = [Decimal(step["amount"]) for step in line["steps"]]
    owed = [amount for amount in amounts if amount]
    amount = Decimal(line["amount"])
    with exact():
        # An adjustment is computed on rounded lines: its steps, and not its unrounded amount, are what was rounded.
        whole = Decimal(line["exact"]) if line.get("kind", "charge") == "charge" else sum(owed, ZERO)
    if len(owed) > 1:
        told += f"; together {plain(whole)}"
    if whole != amount:
        told += f"; rounded to {money(amount, currency)}"
    yield told
    spread = line.get("spread") or {}
    if len(spread) > 1:
        yield "of which " + ", ".join(f"{key} {money(Decimal(part), currency)}" for key, part in spread.items())
    refused = line.get("refused")
    if refused and not any(step["quantity"] == refused and not Decimal(step["amount"]) for step in line["steps"]):
        units = f" {line['unit']}" if line.get("unit") else ""
        yield f"{plain(Decimal(refused))}{units} were refused, and are not billed"


def _used(usage: Mapping[str, Any]) -> str:
    if not usage:
        return ""
    counted = {category: use for category, use in usage.items() if Decimal(use["quantity"])} or usage
    told = " + ".join(f"{plain(Decimal(use['quantity']))} {category}" for category, use in counted.items())
    firsts, lasts = _ends([{"usage": usage}])
    return f"{told}, windows {firsts} to {lasts}" if firsts else told


def _windows(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    first, last = _ends(lines)
    if first:
        yield f"Usage windows from {first} to {last} (their starts)."
    elif not any(line["usage"] for line in lines):
        yield "Nothing was used."


def _ends(lines: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return the starts of the first and the last window; RFC 3339 in UTC sorts as time does."""
    uses = [use for line in lines for use in line["usage"].values()]
    firsts = [use["first_window"] for use in uses if use["first_window"]]
    lasts = [use["last_window"] for use in uses if use["last_window"]]
    return (min(firsts), max(lasts)) if firsts and lasts else ("", "")


def _facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if document.get("interim"):
        yield "Reached", f"{money(Decimal(document['threshold']), str(document['currency']))} {document['currency']}"
    yield "Usage snapshot", str(document["snapshot_id"])
    book = f"{document['book']} " if document.get("book") else ""
    yield "Price book", f"{book}revision {document['book_revision']}, {str(document['book_hash'])[:16]}"
    yield "Contract", f"{document['contract']}, {str(document['contract_hash'])[:16]}"
    if document.get("rated_at"):
        yield "Rated at", instant(document["rated_at"])
