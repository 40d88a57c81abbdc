"""The demo's last step: what was counted and billed, against what the generator sent."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from rater.book import PriceBook
from schemas.money import exact
from schemas.progress import Counts
from sinks.store import Store
from tally.generate import Difference, Expected

Say = Callable[[str], None]


def compare_usage(store: Store, expected: Sequence[Expected], say: Say) -> list[Difference]:
    """Compare the usage of every organisation, category and day: what the views answer, over all topics."""
    sent: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])
    for one in expected:
        for key, (quantity, events) in one.usage_by("day").items():
            sent[key][0] += quantity
            sent[key][1] += events
    found = {
        tuple(key): (quantity, events)
        for *key, quantity, events in store.query(
            "SELECT org_id, category, day, sum(quantity), sum(events) FROM usage_daily GROUP BY org_id, category, day"
        )
    }
    differences = []
    for key in sorted(sent.keys() | found.keys()):
        place = f"organisation {key[0]}, {key[1]}, {key[2]}"
        for what, must, has in zip(("quantity", "events"), sent.get(key, (0, 0)), found.get(key, (0, 0)), strict=True):
            differences += differ(place, what, must, has)
    say(f"usage       {2 * len(sent):,} totals by organisation, category and day")
    return differences


def compare_counts(store: Store, expected: Mapping[str, Expected], say: Say) -> list[Difference]:
    """Compare what became of every partition's events, and count the dead letters."""
    differences: list[Difference] = []
    for topic, one in expected.items():
        counts = {log.partition: progress.counts for log, progress in store.progress(topic).items()}
        differences += one.compare_counts(counts)
        sums = Counts.total(counts.values())
        rejected = sums.rejected.total()
        letters = store.query("SELECT count() FROM dead_letters FINAL WHERE topic = {topic:String}", {"topic": topic})
        differences += differ(f"topic {topic}", "dead letters", rejected, letters[0][0])
        say(
            f"{topic:<11} {sums.events:,} events = {sums.accepted:,} accepted ({sums.late:,} of them late) "
            f"+ {sums.duplicates:,} duplicates + {sums.not_billable.total():,} not billable + {rejected:,} rejected"
        )
    return differences


def compare_bills(store: Store, expected: Sequence[Expected], book: PriceBook, say: Say) -> list[Difference]:
    """Compare the usage behind every statement line with what was sent, and totals with the sum of their lines."""
    sent: dict[tuple[int, str], int] = defaultdict(int)
    for one in expected:
        for (org, category, _), (quantity, _) in one.usage.items():
            sent[org, category] += quantity
    billed: dict[tuple[int, str], int] = defaultdict(int)
    sums: dict[int, Decimal] = defaultdict(Decimal)
    lines = store.query("SELECT org_id, amount, detail FROM charges")
    with exact():
        for org, amount, detail in lines:
            sums[org] += amount
            for category, use in json.loads(detail)["usage"].items():
                billed[org, category] += int(use["quantity"])
    # What a plan gives away has no line; anything else that was sent must be behind one.
    free = {category for plan in book.plans.values() for version in plan.versions for category in version.free}
    differences: list[Difference] = []
    for org, category in sorted(sent.keys() | billed.keys()):
        if (org, category) in billed or category not in free:
            must, has = sent.get((org, category), 0), billed.get((org, category), 0)
            differences += differ(f"organisation {org}, {category}", "billed quantity", must, has)
    totals: dict[int, Decimal] = dict(store.query("SELECT org_id, total FROM statements FINAL"))
    for org in sorted(sums.keys() | totals.keys()):
        cents = [int(value.scaleb(2)) for value in (sums.get(org, Decimal(0)), totals.get(org, Decimal(0)))]
        differences += differ(f"statement of organisation {org}", "total in cents", *cents)
    say(f"statements  {len(totals):,}, the usage behind {len(lines):,} lines, and lines against totals")
    return differences


def differ(place: str, what: str, must: int, has: int) -> list[Difference]:
    """Return the difference, if there is one."""
    return [] if must == has else [Difference(place, what, must, has)]
