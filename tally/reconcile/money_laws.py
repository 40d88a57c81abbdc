"""Stored statements against usage and against themselves: usage = lines, a line = its steps, a total = its lines.

A statement names the usage rows that it was made of. Where the store has just those rows, the quantities must be equal.
Where usage has grown since, the statement is stale until it is rated again: then what it bills lies between what the
rows that were covered by progress then come to (they can only have grown) and what all rows come to now. It is stale
too where a range of a log was metered again since, which may take usage away. Anything else is a difference.
"""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, NamedTuple

from schemas.differences import Checked, Number, Place, plus
from schemas.money import MINOR_STEPS, round_to
from schemas.period import Period
from schemas.statements import OrgUsage
from sinks.store import Store
from tally.rating import read_usage
from tally.reconcile.asking import Asking, where
from tally.units import show_moment

_LINES: Final = ("line_no", "category", "quantity", "amount", "detail")

_STATEMENTS: Final = f"""
SELECT org_id, contract, toString(currency), total, snapshot_id, toUnixTimestamp64Micro(rated_at),
    {", ".join(f"`lines.{name}`" for name in _LINES)}
FROM statements FINAL
WHERE period_start = toDateTime({{start:UInt32}}, 'UTC') AND period_end = toDateTime({{end:UInt32}}, 'UTC')
"""
SHOWN: Final = Decimal("1e-12")
"""Less than any price's own digits: what thousands of steps, each shown to 18 digits, may add up to."""
_ONE: Final = " AND org_id = {org:UInt64} AND contract = {contract:String}"
_IN_ORDER: Final = " ORDER BY org_id, contract"

_SWITCHED: Final = "SELECT max(decided_at) FROM remeter_decisions WHERE decision IN ('active', 'undone')"

# What the usage rows that progress covered when the statement was made come to now, at the least: a row that was
# folded further since may have had less.
_COVERED: Final = """
SELECT toString(w.category), sum(if(w.last_offset < v.next_offset, toInt128(w.quantity), toInt128(0)))
FROM (
    SELECT category, topic, partition, last_offset, quantity FROM active_windows
    WHERE org_id = {org:UInt64} AND window_start >= toDateTime({start:UInt32}, 'UTC')
        AND window_start < toDateTime({end:UInt32}, 'UTC')
) AS w
LEFT JOIN (
    SELECT topic, tupleElement(one, 1) AS partition, tupleElement(one, 2) AS next_offset
    FROM (
        SELECT tupleElement(of_topic, 1) AS topic,
            arrayJoin(JSONExtractKeysAndValues(tupleElement(of_topic, 2), 'UInt64')) AS one
        FROM (
            SELECT arrayJoin(JSONExtractKeysAndValuesRaw(progress_vector)) AS of_topic FROM statements FINAL
            WHERE org_id = {org:UInt64} AND contract = {contract:String}
                AND period_start = toDateTime({start:UInt32}, 'UTC') AND period_end = toDateTime({end:UInt32}, 'UTC')
        )
    )
) AS v USING (topic, partition)
GROUP BY w.category
"""


class Bill(NamedTuple):
    """A stored statement."""

    org_id: int
    contract: str
    currency: str
    total: Decimal
    snapshot_id: str
    rated_at: int
    lines: tuple[dict[str, Any], ...]

    def usage(self) -> dict[str, Number]:
        """Return what the lines say was used of each category; those of a price that changed have a part each."""
        found: dict[str, Number] = {}
        for line in self.lines:
            for category, used in line["detail"].get("usage", {}).items():
                found[category] = plus(found.get(category, 0), _number(used.get("quantity")))
        return found


def money_laws(ask: Asking) -> list[Checked]:
    """Check the statements of every period that lies within the bounds, at least in part."""
    laws = (
        Checked("charges", "usage", "usage in the lines of statements"),
        Checked("lines", "steps of a line, rounded once", "its amount"),
        Checked("totals", "lines of a statement", "its total"),
    )
    if ask.asked.topic is not None:
        for law in laws:
            law.skipped = "statements are over all topics: leave --topic out to have them checked"
        return list(laws)
    switched_at = int(ask.store.query(_SWITCHED)[0][0])
    for period in _periods(ask):
        ask.on_step(f"statements of {period}")
        for bill, usage in _with_usage(ask.store, period):
            _check_sums(bill, period, laws[1], laws[2])
            if not _billed(bill, usage):
                bill, usage = _again(ask.store, period, bill)  # noqa: PLW2901 - both were read while a run went on
            _check_usage(ask.store, period, bill, usage, laws[0], switched_at)
    return list(laws)


def _periods(ask: Asking) -> Iterator[Period]:
    asked, parameters = ask.asked, dict[str, Any]()
    conditions = []
    if asked.start is not None:
        conditions.append("period_end > fromUnixTimestamp64Micro({start:Int64}, 'UTC')")
        parameters["start"] = asked.start
    if asked.end is not None:
        conditions.append("period_start < fromUnixTimestamp64Micro({end:Int64}, 'UTC')")
        parameters["end"] = asked.end
    sql = f"SELECT DISTINCT period_start, period_end FROM statements {where(conditions)} ORDER BY ALL"
    for start, end in ask.store.query(sql, parameters):
        yield Period(start, end, f"{show_moment(start)} to {show_moment(end)}")


def _bills(store: Store, period: Period, more: str = "", **parameters: Any) -> Iterator[Bill]:
    for row in store.stream(_STATEMENTS + more + _IN_ORDER, {**_bounds(period), **parameters}):
        lines = tuple(dict(zip(_LINES, values, strict=True)) for values in zip(*row[6:], strict=True))
        for line in lines:
            line["detail"] = _document(line["detail"])
        org, contract, currency, total, snapshot, rated_at = row[:6]
        yield Bill(org, contract, currency, total, snapshot, rated_at, lines)


def _with_usage(store: Store, period: Period) -> Iterator[tuple[Bill, OrgUsage]]:
    """Merge statements and usage, both in the order of organisations."""
    usages = read_usage(store, period)
    usage = next(usages, None)
    for org, bills in groupby(_bills(store, period), key=attrgetter("org_id")):
        while usage is not None and usage.org_id < org:
            usage = next(usages, None)
        own = usage if usage is not None and usage.org_id == org else OrgUsage(org, {}, "")
        for bill in bills:
            yield bill, own


def _again(store: Store, period: Period, bill: Bill) -> tuple[Bill, OrgUsage]:
    newer = list(_bills(store, period, _ONE, org=bill.org_id, contract=bill.contract))
    usage = list(read_usage(store, period, bill.org_id))
    return (newer[0] if newer else bill), (usage[0] if usage else OrgUsage(bill.org_id, {}, ""))


def _used(usage: OrgUsage, category: str) -> Number:
    return usage.categories[category].quantity if category in usage.categories else 0


def _billed(bill: Bill, usage: OrgUsage) -> bool:
    return all(billed == _used(usage, category) for category, billed in bill.usage().items())


def _check_usage(store: Store, period: Period, bill: Bill, usage: OrgUsage, law: Checked, switched_at: int) -> None:
    covered: dict[str, int] | None = None
    for category, billed in sorted(bill.usage().items()):
        now = _used(usage, category)
        place = {**_place(bill, period), "category": category}
        if billed == now or bill.snapshot_id == usage.snapshot_id:
            law.compare(place, now, billed)
            continue
        if covered is None:
            key = {"org": bill.org_id, "contract": bill.contract, **_bounds(period)}
            covered = {name: int(total) for name, total in store.query(_COVERED, key)}
        if covered.get(category, 0) <= billed < now:
            law.name("stale", place, now, billed, "usage has grown since: rate the period again")
        elif bill.rated_at <= switched_at:
            note = "a range of a log was metered again since (`tally remeter list`): rate the period again"
            law.name("stale", place, now, billed, note)
        else:
            law.compare(place, now, billed, "and no growth of usage since it was rated explains it")


def _check_sums(bill: Bill, period: Period, lines: Checked, totals: Checked) -> None:
    total: Number = 0
    for line in bill.lines:
        detail, place = line["detail"], {**_place(bill, period), "line": line["line_no"]}
        exact, steps = _number(detail.get("exact")), Decimal(0)
        for step in detail.get("steps", ()):
            steps = Decimal(plus(steps, _number(step.get("amount"))))
        if detail.get("kind", "charge") == "charge":
            lines.compare({**place, "column": "exact"}, _near(steps, exact), exact, summed=False)
        else:
            exact = steps  # of an adjustment, what was rounded; its unrounded amount is beside it
        lines.compare({**place, "column": "quantity"}, _number(detail.get("quantity")), line["quantity"], summed=False)
        lines.compare({**place, "column": "amount"}, _rounded(exact, bill, detail, line["amount"]), line["amount"])
        total = plus(total, line["amount"])
    totals.compare(_place(bill, period), total, bill.total)


def _rounded(exact: Decimal, bill: Bill, detail: Mapping[str, Any], amount: Decimal) -> Decimal:
    """Return what a line's amount has to be.

    A true-up of a commitment is rounded together with its charge, so that the two come to the commitment: on its own it
    may be less than a minor unit away.
    """
    step = MINOR_STEPS[bill.currency]
    together = detail.get("kind") == "true_up" and abs(exact - amount) < step
    return amount if together else round_to(exact, step, detail.get("rounding", "half_away"))


def _near(steps: Decimal, exact: Decimal) -> Decimal:
    """Return the sum of steps; the exact amount where quotients that never end, shown to 18 digits, are the rest."""
    return exact if abs(steps - exact) < SHOWN else steps


def _place(bill: Bill, period: Period) -> Place:
    return {"org_id": bill.org_id, "contract": bill.contract, "period_start": show_moment(period.start)}


def _bounds(period: Period) -> Mapping[str, int]:
    return {"start": int(period.start.timestamp()), "end": int(period.end.timestamp())}


def _document(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _number(text: object) -> Decimal:
    """Return a number of a line's detail; what is none is 0, and differs from what it should be."""
    try:
        return Decimal(text) if isinstance(text, str) else Decimal(0)
    except InvalidOperation:
        return Decimal(0)
