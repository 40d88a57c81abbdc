"""Stored statements against usage and against themselves: usage = lines, a line = its steps, a total = its lines.

A statement names the usage rows that it was made of. Where the store has just those rows, the quantities must be equal.
Where usage has grown since, the statement is stale until it is rated again: then what it bills lies between what the
rows that were covered by progress then come to (they can only have grown) and what all rows come to now. It is stale
too where a range of a log was metered again since, which may take usage away. Anything else is a difference.
"""

from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from schemas.differences import Checked, Number
from schemas.period import Period
from schemas.statements import OrgUsage
from sinks.store import Store
from tally.rating import read_usage
from tally.reconcile.asking import Asking, where
from tally.reconcile.bills import Bill, check_sums, document_of, place_of
from tally.reconcile.interim_law import check_interims, within
from tally.units import show_moment

_LINES: Final = ("line_no", "category", "quantity", "amount", "detail")

_STATEMENTS: Final = f"""
SELECT org_id, contract, toString(currency), total, snapshot_id, toUnixTimestamp64Micro(rated_at),
    {", ".join(f"`lines.{name}`" for name in _LINES)}
FROM statements FINAL
WHERE period_start = toDateTime({{start:UInt32}}, 'UTC') AND period_end = toDateTime({{end:UInt32}}, 'UTC')
"""
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


def money_laws(ask: Asking) -> list[Checked]:
    """Check the statements of every period that lies within the bounds, at least in part."""
    laws = (
        Checked("charges", "usage", "usage in the lines of statements"),
        Checked("lines", "steps of a line, rounded once", "its amount"),
        Checked("totals", "lines of a statement", "its total"),
        Checked("interims", "billed before a period ended", "taken off by its own statement"),
    )
    if ask.asked.topic is not None:
        for law in laws:
            law.skipped = "statements are over all topics: leave --topic out to have them checked"
        return list(laws)
    switched_at = int(ask.store.query(_SWITCHED)[0][0])
    for period in _periods(ask):
        ask.on_step(f"statements of {period}")
        for bill, usage in _with_usage(ask.store, period):
            check_sums(bill, period, laws[1], laws[2])
            if not _billed(bill, usage):
                bill, usage = _again(ask.store, period, bill)  # noqa: PLW2901 - both were read while a run went on
            _check_usage(ask.store, period, bill, usage, laws[0], switched_at)
    ask.on_step("interim statements")
    check_interims(ask, *laws[1:])
    return list(laws)


def _periods(ask: Asking) -> Iterator[Period]:
    conditions, parameters = within(ask.asked)
    sql = f"SELECT DISTINCT period_start, period_end FROM statements {where(conditions)} ORDER BY ALL"
    for start, end in ask.store.query(sql, parameters):
        yield Period(start, end, f"{show_moment(start)} to {show_moment(end)}")


def _bills(store: Store, period: Period, more: str = "", **parameters: Any) -> Iterator[Bill]:
    for row in store.stream(_STATEMENTS + more + _IN_ORDER, {**_bounds(period), **parameters}):
        lines = tuple(dict(zip(_LINES, values, strict=True)) for values in zip(*row[6:], strict=True))
        for line in lines:
            line["detail"] = document_of(line["detail"])
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
        place = {**place_of(bill, period), "category": category}
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


def _bounds(period: Period) -> Mapping[str, int]:
    return {"start": int(period.start.timestamp()), "end": int(period.end.timestamp())}
