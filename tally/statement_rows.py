"""A statement as the row that is kept."""

import datetime as dt
import json
from typing import Any, Final

from rater.render import line_document
from schemas.statements import Statement

Row = dict[str, Any]

_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
"""Kept, since making one costs as much as using it."""


def statement_row(
    statement: Statement, vector: str, complete_to: dt.datetime | None, version: int, rated_at: int
) -> Row:
    """Return the row of `statements`: `vector` is progress as JSON, `version` see `tally.rating.Known.version`."""
    # How lines are rounded is said only where it is not the usual way, as `tally reconcile` has to know it.
    rounded = {} if statement.rounding == "half_away" else {"rounding": statement.rounding}
    about = {"plan": statement.plan, **rounded}
    lines = [
        {
            "line_no": number,
            "category": line.categories,
            "description": line.name,
            "quantity": line.quantity,
            "amount": line.amount,
            "detail": _JSON.encode({**line_document(line), **about}),
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
