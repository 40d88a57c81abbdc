"""A log in a list, metered by runs under one set of rules and again by remeters under another; and what is counted."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from dataflows.decode import Decoder
from dataflows.resume import start_of
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import Progress
from sinks.store import Store
from tally.reconcile.asking import Asked as Bounds
from tally.reconcile.asking import Asking
from tally.reconcile.run import reconcile
from tally.remeter.ranges import Asked
from tally.remeter.run import find_targets, make_candidates, plan_remeter
from tally.rereading import LogAgain
from tests import oracle
from tests.queries.relogged import LOG, ListSource, metered

AT = 1_800_000_000_000_000
BY = "ada@host"

Usage = dict[tuple[Any, ...], tuple[int, int]]
"""(quantity, events) by organisation, category, project, dimensions and window start."""


def take_up(store: Store, source: ListSource, settings: MeterSettings, until: int | None = None) -> Progress:
    """Meter on from where the store stands, as a run would, up to an offset or the end."""
    stored = store.progress(LOG.topic).get(LOG)
    past = stored is not None and store.rows_past_progress(LOG, stored.generation, stored.next_offset)
    start = start_of(source.list_logs()[0], stored, settings, rows_past_progress=past)
    return metered(store, source, settings, start.progress, source.end if until is None else until)


def remeter(
    store: Store, source: ListSource, settings: MeterSettings, asked: Asked | None = None, now: int = AT
) -> str:
    """Make a remeter of the log and return its name."""
    targets = find_targets(store, LOG.topic, None, asked or Asked())

    def reopen(progress: Progress) -> LogAgain:
        return LogAgain(progress.log, source, source.list_logs()[0])

    planned = plan_remeter(store, settings, LOG.topic, targets, reopen, lambda: now)
    make_candidates(store, planned, Decoder(settings), now=now, by=BY)
    return planned.name


def usage(store: Store, view: str = "usage") -> Usage:
    """Return usage as analysts see it."""
    rows = store.query(
        f"SELECT org_id, category, project_id, dimensions, toUnixTimestamp(window_start), quantity, events FROM {view}"
    )
    return {tuple(row[:5]): (int(row[5]), int(row[6])) for row in rows}


def letters(store: Store) -> dict[tuple[int, int], str]:
    """Return the reason of every dead letter that counts."""
    return {(row[0], row[1]): row[2] for row in store.query("SELECT offset, `index`, reason FROM active_letters")}


def usage_of(rows: dict[oracle.RowKey, oracle.Row]) -> Usage:
    """Return what rows of the oracle come to, over all segments."""
    totals: dict[tuple[Any, ...], Counter[str]] = {}
    for (org, category, project, dimensions, start, _), row in rows.items():
        found = totals.setdefault((org, category, project, dimensions, start // 1_000_000), Counter())
        found.update(quantity=row.quantity, events=row.events)
    return {key: (found["quantity"], found["events"]) for key, found in totals.items()}


def usage_of_range(
    records: Sequence[oracle.Record], rules: oracle.Rules, first: int, end: int | None = None
) -> tuple[Usage, dict[tuple[int, int], str]]:
    """Return what the oracle counts of the records from `first` up to `end` of a log, and what it rejects of them."""
    out = oracle.meter(list(records), rules)
    totals: dict[tuple[Any, ...], Counter[str]] = {}
    rejected = {}
    for record in records:
        if record.offset < first or (end is not None and record.offset >= end):
            continue
        for index, event in enumerate(record.events):
            verdict = out.verdicts[record.offset, index]
            if verdict.startswith("rejected:"):
                rejected[record.offset, index] = verdict.partition(":")[2]
            if verdict in {"accepted", "late"}:
                start = event.timestamp - event.timestamp % rules.window
                project = event.project if rules.group_by_project else 0
                key = (event.org, event.category, project, event.dimensions, start // 1_000_000)
                totals.setdefault(key, Counter()).update(quantity=event.quantity, events=1)
    return {key: (found["quantity"], found["events"]) for key, found in totals.items()}, rejected


def plus(*parts: Usage) -> Usage:
    """Return the sum of usages."""
    found: dict[tuple[Any, ...], tuple[int, int]] = {}
    for part in parts:
        for key, (quantity, events) in part.items():
            before = found.get(key, (0, 0))
            found[key] = before[0] + quantity, before[1] + events
    return found


def differences(store: Store) -> list[str]:
    """Return what reconciliation finds, over all laws that the store alone can answer."""
    found = reconcile(Asking(store, Bounds(), AT))
    return [
        f"{finding.law} {finding.standing} {finding.place_text()} {finding.left} {finding.right} {finding.note}"
        for law in found.checked
        for finding in law.findings
    ]


def log_of(topic: str, partition: str) -> LogId:
    return LogId(topic, partition)
