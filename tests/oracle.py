"""The oracle: the metering semantics, event by event, with dicts and loops. It judges the compiled meter.

It is written from the rules, not from the meter: no columns, no marks, no memory bound, no batches. It takes
events that were decoded already, so that decoding is judged elsewhere.
"""

from collections import Counter
from dataclasses import dataclass, field

MAX_TOTAL = 2**63 - 1


@dataclass(frozen=True)
class Event:
    """A decoded event, or `rejected`/`not_billable` with the word that says why."""

    org: int = 0
    event_id: str | None = None
    category: str = "error"
    project: int = 0
    quantity: int = 1
    timestamp: int = 0
    dimensions: str = ""
    not_billable: str | None = None
    rejected: str | None = None
    value: str = ""
    amount: str = ""

    def payload(self, kept: tuple[str, ...]) -> tuple[object, ...]:
        """What a duplicate must repeat; value and amount are read only of events that are kept."""
        plain = (self.category, self.project, self.quantity, self.timestamp, self.dimensions)
        return (*plain, self.value, self.amount) if self.category in kept else plain


@dataclass(frozen=True)
class Record:
    """A record: its offset, the broker's timestamp (None in a file), its events."""

    offset: int
    timestamp: int | None
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Rules:
    """The settings that the answer depends on, in microseconds."""

    group_by_project: bool = False
    window: int = 60_000_000
    allowed_lateness: int = 120_000_000
    bucket: int = 60_000_000
    horizon_buckets: int = 10
    max_future: int = 300_000_000
    max_age: int = 90 * 86_400_000_000
    as_of: int | None = None
    kept: tuple[str, ...] = ()
    """The categories whose accepted events are kept one by one."""


@dataclass
class Row:
    quantity: int = 0
    events: int = 0
    max_quantity: int = 0
    first_offset: int = -1
    last_offset: int = -1
    first_timestamp: int = 0
    last_timestamp: int = 0


RowKey = tuple[int, str, int, str, int, int]
"""org, category, project, dimensions, window_start, segment."""


@dataclass(frozen=True)
class Kept:
    """An accepted event of a category that keeps its events."""

    org: int
    category: str
    project: int
    timestamp: int
    quantity: int
    dimensions: str
    value: str
    amount: str


@dataclass
class Outcome:
    rows: dict[RowKey, Row] = field(default_factory=dict)
    kept: dict[tuple[int, int], Kept] = field(default_factory=dict)
    verdicts: dict[tuple[int, int], str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    not_billable: Counter[str] = field(default_factory=Counter)
    clock: int | None = None
    max_timestamp: int | None = None
    watermark: int | None = None

    def check(self) -> None:
        """Conservation: every event has one verdict, every accepted event is in one row."""
        rejected, free = self.rejected.total(), self.not_billable.total()
        assert self.counts["events"] == self.counts["accepted"] + self.counts["duplicates"] + free + rejected
        assert self.counts["accepted"] == sum(row.events for row in self.rows.values())
        assert self.counts["quantity"] == sum(row.quantity for row in self.rows.values())
        for category in {one.category for one in self.kept.values()}:
            kept = [one for one in self.kept.values() if one.category == category]
            rows = [row for key, row in self.rows.items() if key[1] == category]
            assert len(kept) == sum(row.events for row in rows)
            assert sum(one.quantity for one in kept) == sum(row.quantity for row in rows)


def meter(records: list[Record], rules: Rules) -> Outcome:
    """Meter one partition log from its start."""
    out = Outcome()
    occurred: dict[tuple[int, str], tuple[int, tuple[object, ...]]] = {}
    for record in records:
        out.counts["records"] += 1
        if record.timestamp is not None:
            out.clock = record.timestamp if out.clock is None else max(out.clock, record.timestamp)
        for index, event in enumerate(record.events):
            out.counts["events"] += 1
            verdict = _verdict(event, record, rules, out, occurred)
            out.verdicts[record.offset, index] = verdict
            word, _, why = verdict.partition(":")
            if word == "rejected":
                out.rejected[why] += 1
            elif word == "not_billable":
                out.not_billable[why] += 1
            elif word == "duplicate":
                out.counts["duplicates"] += 1
            else:
                out.counts["accepted"] += 1
                out.counts["late"] += word == "late"
                out.counts["quantity"] += event.quantity
                if event.category in rules.kept:
                    project = event.project if rules.group_by_project else 0
                    out.kept[record.offset, index] = Kept(
                        event.org,
                        event.category,
                        project,
                        event.timestamp,
                        event.quantity,
                        event.dimensions,
                        event.value,
                        event.amount,
                    )
    if out.max_timestamp is not None and out.clock is not None:
        out.watermark = min(out.max_timestamp, out.clock) - rules.allowed_lateness
    return out


def _verdict(
    event: Event,
    record: Record,
    rules: Rules,
    out: Outcome,
    occurred: dict[tuple[int, str], tuple[int, tuple[object, ...]]],
) -> str:
    if event.rejected is not None:
        return f"rejected:{event.rejected}"
    from_file = record.timestamp is None
    clock = event.timestamp if out.clock is None else out.clock
    now = rules.as_of if from_file else clock
    if now is not None and event.timestamp > now + rules.max_future:
        return "rejected:from_the_future"
    if now is not None and event.timestamp < now - rules.max_age:
        return "rejected:too_old"
    # From here on the event is admitted: whatever becomes of it, it moves the watermark (and a file's clock).
    watermark = None
    if out.max_timestamp is not None:
        watermark = min(out.max_timestamp, clock) - rules.allowed_lateness
    out.max_timestamp = event.timestamp if out.max_timestamp is None else max(out.max_timestamp, event.timestamp)
    if from_file:
        out.clock = max(clock, event.timestamp)
    if event.not_billable is not None:
        return f"not_billable:{event.not_billable}"
    bucket = clock // rules.bucket
    if event.event_id is not None:
        key = (event.org, event.event_id)
        seen = occurred.get(key)
        payload = event.payload(rules.kept)
        occurred[key] = (bucket, payload)
        if seen is not None and bucket <= seen[0] + rules.horizon_buckets:
            return "duplicate" if seen[1] == payload else "rejected:conflicting_duplicate"
    start = event.timestamp - event.timestamp % rules.window
    late = watermark is not None and start + rules.window <= watermark
    segment = 1 + bucket // 10 if late else 0
    project = event.project if rules.group_by_project else 0
    row_key = (event.org, event.category, project, event.dimensions, start, segment)
    row = out.rows.get(row_key, Row(first_offset=record.offset, first_timestamp=event.timestamp))
    if row.quantity + event.quantity > MAX_TOTAL:
        return "rejected:overflow"
    row.quantity += event.quantity
    row.events += 1
    row.max_quantity = max(row.max_quantity, event.quantity)
    row.last_offset = record.offset
    row.first_timestamp = min(row.first_timestamp, event.timestamp)
    row.last_timestamp = max(row.last_timestamp, event.timestamp)
    out.rows[row_key] = row
    return "late" if late else "accepted"
