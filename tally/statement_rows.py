"""A statement as the row that is kept."""

import datetime as dt
import json
from typing import Final

from rater.counted import Counted
from rater.memo import Memo
from rater.render import line_document
from schemas.money import exact
from schemas.statements import Line, Statement
from tally.packed_rows import Row

_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
"""Kept, since making one costs as much as using it."""
_FEES: Final[Memo[str]] = Memo()


def statement_row(
    statement: Statement, vector: str, complete_to: dt.datetime | None, version: int, rated_at: int
) -> Row:
    """Return the row of `statements`: `vector` is progress as JSON, `version` see `tally.rating.Known.version`."""
    # How lines are rounded is said only where it is not the usual way, as `tally reconcile` has to know it.
    rounded = {} if statement.rounding == "half_away" else {"rounding": statement.rounding}
    # What a period is called follows from its bounds only where these are midnights of UTC.
    period = statement.period
    named = {} if _midnight(period.start) and _midnight(period.end) else {"period": period.name}
    about = f",{_JSON.encode({'plan': statement.plan, **rounded, **named})[1:]}"
    with exact():
        lines = [
            {
                "line_no": number,
                "category": line.categories,
                "description": line.name,
                "quantity": line.quantity,
                "amount": line.amount,
                "detail": _told(line) + about,
            }
            for number, line in enumerate(statement.lines, 1)
        ]
    return {
        "org_id": statement.org_id,
        "contract": statement.contract,
        "period_start": statement.period.start,
        "period_end": statement.period.end,
        "currency": statement.currency,
        "total": statement.total,
        "lines": lines,
        "book_hash": statement.book_hash,
        "contract_hash": statement.contract_hash,
        "snapshot_id": statement.snapshot_id,
        "progress_vector": vector,
        "complete_to": complete_to,
        "version": version,
        "rated_at": rated_at,
    }


def _midnight(when: dt.datetime) -> bool:
    return when.hour == when.minute == 0


def _told(line: Line) -> str:
    """Return what made a line as JSON, without the closing brace."""
    working = line.working
    if isinstance(working, Counted):
        return working.text_of(line) or _at_length(line)
    if not line.usage and line.kind == "charge":  # a fee: the same line stands on everybody's statement
        return _FEES.get((line,), None, lambda: _at_length(line))
    return _at_length(line)


def _at_length(line: Line) -> str:
    return _JSON.encode(line_document(line))[:-1]
