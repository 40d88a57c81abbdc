"""What was billed before a period ended, against the statement of the period: all of it is taken off, nothing else.

An interim statement belongs to the statement whose period its start lies in, whatever contract that is of. Where one
was written after the statement, or has none, it is stale until the period is rated again.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from schemas.differences import Checked, plus
from schemas.period import Period
from tally.reconcile.asking import Asked, Asking, where
from tally.reconcile.bills import Bill, check_sums, document_of, place_of
from tally.units import show_moment

_LINES: Final = ("line_no", "category", "quantity", "amount", "detail")
_INTERIM: Final = f"""
SELECT org_id, contract, period_start, period_end, toString(currency), total, snapshot_id,
    toUnixTimestamp64Micro(rated_at), number, billed, {", ".join(f"`lines.{name}`" for name in _LINES)}
FROM (SELECT * FROM interim_statements FINAL)
<where>
ORDER BY org_id, period_start, contract, number
"""

# Which lines take something off is asked of their text: a quote inside a value is escaped in it, so no other matches.
_TAKEN: Final = """
SELECT org_id, contract, period_start, any(taken) AS off, sumIf(toDecimal256(total, 18), inside) AS billed,
    countIf(inside) AS statements, maxIf(written, inside) > any(rated_at)
FROM
(
    SELECT b.org_id AS org_id, b.contract AS contract, b.period_start AS period_start, b.period_end AS period_end,
        b.rated_at AS rated_at, b.taken AS taken, i.total AS total, i.rated_at AS written,
        i.number > 0 AND i.period_start >= b.period_start AND i.period_start < b.period_end AS inside
    FROM
    (
        SELECT org_id, contract, period_start, period_end, rated_at,
            arraySum(
                (amount, detail) -> if(position(detail, '"kind":"already_invoiced"') > 0, -amount, toDecimal128(0, 18)),
                `lines.amount`, `lines.detail`
            ) AS taken
        FROM (SELECT * FROM statements FINAL)
        WHERE notEmpty(`lines.line_no`)<bounds>
    ) AS b
    LEFT JOIN (SELECT org_id, period_start, number, total, rated_at FROM interim_statements FINAL) AS i
        ON i.org_id = b.org_id
    WHERE b.taken != 0 OR b.org_id IN (SELECT org_id FROM interim_statements)
)
GROUP BY org_id, contract, period_start, period_end
HAVING off != 0 OR statements > 0
ORDER BY org_id, period_start, contract
"""
_ALONE: Final = """
SELECT i.org_id, i.contract, i.period_start, i.number, any(i.total)
FROM (SELECT org_id, contract, period_start, period_end, number, total FROM interim_statements FINAL<where>) AS i
LEFT JOIN
(
    SELECT org_id, period_start AS first, period_end AS after
    FROM (SELECT * FROM statements FINAL)
    WHERE notEmpty(`lines.line_no`) AND org_id IN (SELECT org_id FROM interim_statements)
) AS b ON b.org_id = i.org_id
GROUP BY i.org_id, i.contract, i.period_start, i.period_end, i.number
HAVING countIf(i.period_start >= b.first AND i.period_start < b.after) = 0
ORDER BY i.org_id, i.period_start, i.contract, i.number
"""
_AGAIN: Final = "rate the period again"


def check_interims(ask: Asking, lines: Checked, totals: Checked, law: Checked) -> None:
    """Check interim statements by themselves, and against the statements that take them off."""
    for bill, period, billed in _bills(ask):
        check_sums(bill, period, lines, totals)
        parts: Decimal | int = 0
        for part in billed.values():
            parts = plus(parts, part)
        totals.compare({**place_of(bill, period), "column": "billed"}, parts, bill.total, summed=False)
    bounds, parameters = within(ask.asked)
    more = "".join(f" AND {condition}" for condition in bounds)
    for org, contract, start, off, billed, _, later in ask.store.stream(_TAKEN.replace("<bounds>", more), parameters):
        place = {"org_id": org, "contract": contract, "period_start": show_moment(start)}
        if later and off != billed:
            law.add(billed, off)
            law.name("stale", place, billed, off, f"an interim statement was written since: {_AGAIN}")
        else:
            law.compare(place, billed, off)
    condition = f" {where(bounds)}" if bounds else ""
    for org, contract, start, number, total in ask.store.stream(_ALONE.replace("<where>", condition), parameters):
        place = {"org_id": org, "contract": contract, "period_start": show_moment(start), "interim": number}
        law.add(total, 0)
        law.name("stale", place, total, 0, f"no statement takes it off: {_AGAIN}")


def _bills(ask: Asking) -> Iterator[tuple[Bill, Period, dict[str, Decimal]]]:
    bounds, parameters = within(ask.asked)
    for row in ask.store.stream(_INTERIM.replace("<where>", where(bounds)), parameters):
        org, contract, start, end, currency, total, snapshot, rated_at, number, billed = row[:10]
        found = tuple(dict(zip(_LINES, values, strict=True)) for values in zip(*row[10:], strict=True))
        for line in found:
            line["detail"] = document_of(line["detail"])
        period = Period(start, end, f"{show_moment(start)} to {show_moment(end)}")
        yield Bill(org, contract, currency, total, snapshot, rated_at, found, number), period, billed


def within(asked: Asked) -> tuple[list[str], dict[str, Any]]:
    """Return conditions, with parameters, on the periods of statements that lie in the bounds at least in part."""
    conditions, parameters = list[str](), dict[str, Any]()
    if asked.start is not None:
        conditions.append("period_end > fromUnixTimestamp64Micro({start:Int64}, 'UTC')")
        parameters["start"] = asked.start
    if asked.end is not None:
        conditions.append("period_start < fromUnixTimestamp64Micro({end:Int64}, 'UTC')")
        parameters["end"] = asked.end
    return conditions, parameters
