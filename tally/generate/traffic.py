"""Traffic a chunk at a time: events planned, judged and written as bytes, and what to expect of them in the end."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from schemas.log import Int64s
from schemas.progress import Counts
from schemas.verdicts import REASONS
from tally.generate import plan as p
from tally.generate import simulate as s
from tally.generate.expected import Expected, Sum
from tally.generate.formats import layout_of
from tally.generate.profile import categories_of, curve_of
from tally.generate.render import Bytes, envelope_of, program_of, render
from tally.generate.spec import DAY, TrafficSpec

CHUNK: Final = 16_384
"""Events at a time: what is made fits the processor's cache, and the answer does not depend on it."""

EPOCH: Final = dt.date(1970, 1, 1)

ShowProgress = Callable[[int, int], None]
"""Takes how many events are done, and of how many."""


def show_nothing(done: int, total: int) -> None:
    """Take progress and drop it."""
    del done, total


@dataclass(frozen=True, slots=True)
class Chunk:
    """The bytes of consecutive events, partition by partition; valid until the next chunk is asked for.

    `partition_ends[i]`: the place in `data` after partition i's bytes. `record_ends` and `record_events`: of each
    record that ended in them, the place after it and the row in `plan` of an event of its partition (of its own, where
    a record is one event). A partition's bytes may begin within a record of the last chunk, and end within one that
    goes on in the next.
    """

    plan: Int64s
    data: Bytes
    partition_ends: Int64s
    record_ends: Int64s
    record_events: Int64s
    done: int


class Traffic:
    """One run of the generator. `now`: the time of production to a topic, microseconds UTC; None for files.

    `end` follows every record. Walk `chunks` once (or `plans`, and count `records` where something else packs the
    events), then ask `expected`.
    """

    def __init__(self, spec: TrafficSpec, *, now: int | None = None, end: bytes = b"\n", chunk: int = CHUNK) -> None:
        assert spec.start is not None, "a spec for a file or a topic has its times"
        assert spec.span is not None
        self.spec = spec
        self._chunk = max(1, min(chunk, spec.events))
        catalogue = spec.meter.catalogue
        self.layout = layout_of(spec.format, spec.packing, catalogue)
        self._program = program_of(self.layout)
        self._envelope = envelope_of(spec.packing, end)
        self._tables = p.tables_of(
            spec,
            categories_of(catalogue, spec.categories),
            curve_of(spec.events, spec.start, spec.span, daily=now is None and spec.span >= DAY),
            precision=self.layout.precision,
            variants=len(self.layout.variants),
            now=now,
        )
        self._rules = s.rules_of(spec.meter, broker_clock=now is not None)
        self._clocks = np.full(spec.partitions, s.NONE, dtype=np.int64)
        self._counts = np.zeros((spec.partitions, s.COUNTS_SIZE), dtype=np.int64)
        ring = 1 << (self._tables.reach + 1).bit_length()
        self._occurred = np.full((ring, 2), s.NONE, dtype=np.int64)
        self._totals = s.Totals(spec.orgs, len(catalogue.names), by_month=spec.expected_by == "month")
        self.records = np.zeros(spec.partitions, dtype=np.int64)
        self._filled = np.zeros(spec.partitions, dtype=np.int64)

    def plans(self) -> Iterator[tuple[Int64s, int]]:
        """Make the events, a chunk at a time, and keep count of them; give each chunk and how many are done."""
        plan = np.zeros((self._chunk, p.PLAN_SIZE), dtype=np.int64)
        verdict = np.zeros(self._chunk, dtype=np.uint8)
        events = self.spec.events
        for begin in range(0, events, self._chunk):
            size = min(self._chunk, events - begin)
            made, verdicts = plan[:size], verdict[:size]
            self._plan(made, begin)
            s.judge(made, verdicts, self._program.codes, self._rules, self._clocks, self._counts, self._occurred)
            self._totals.add(made, verdicts)
            yield made, begin + size

    def chunks(self) -> Iterator[Chunk]:
        """Make the traffic, chunk by chunk, as bytes."""
        spec, program, envelope = self.spec, self._program, self._envelope
        # An event, and what may stand around it: a separator, the end of the record before, and its own record's ends.
        out = np.empty(self._chunk * (program.longest + 8) + 64, dtype=np.uint8)
        ends = np.zeros(2 * self._chunk, dtype=np.int64)
        event_of = np.zeros(2 * self._chunk, dtype=np.int64)
        partition_ends = np.zeros(spec.partitions, dtype=np.int64)
        for made, done in self.plans():
            order = np.argsort(made[:, p.PARTITION], kind="stable")
            ended = render(
                out,
                made,
                order,
                spec.per_record,
                program.pieces,
                program.variants,
                program.blob,
                program.words,
                envelope.before,
                envelope.between,
                envelope.after,
                envelope.end,
                self._filled,
                self.records,
                ends,
                event_of,
                partition_ends,
            )
            yield Chunk(made, out, partition_ends, ends[:ended], event_of[:ended], done)

    def unfinished(self) -> Sequence[bytes]:
        """Return, by partition, what ends its last record after the last chunk; empty where none is open."""
        close = self._envelope.after.tobytes() + self._envelope.end.tobytes()
        return [close if filled else b"" for filled in self._filled.tolist()]

    def expected(self, names: Sequence[str], nbytes: int) -> Expected:
        """Return what must come of the traffic that was made. `names` are the partitions'."""
        spec = self.spec
        categories = spec.meter.catalogue.names
        days: dict[int, dt.date] = {}
        usage = {
            (org + 1, categories[category], days.setdefault(day, EPOCH + dt.timedelta(days=day))): Sum(quantity, events)
            for org, category, day, quantity, events in self._totals.rows()
        }
        return Expected(
            usage=usage,
            partitions={name: self._counts_of(number) for number, name in enumerate(names)},
            by=spec.expected_by,
            late_known=not self._rules[s.BROKER_CLOCK],
            nbytes=nbytes,
            about=spec.as_plain(),
        )

    def _counts_of(self, partition: int) -> Counts:
        counts: list[int] = self._counts[partition].tolist()
        reasons = zip(REASONS, counts[s.FIRST_REASON :], strict=False)
        outcomes = zip(self.layout.not_billable, counts[s.FIRST_OUTCOME + 1 :], strict=False)
        return Counts(
            records=int(self.records[partition]),
            events=counts[s.EVENTS],
            accepted=counts[s.ACCEPTED_EVENTS],
            late=counts[s.LATE_EVENTS],
            duplicates=counts[s.DUPLICATES],
            not_billable=Counter({why: n for why, n in outcomes if n}),
            rejected=Counter({why: n for why, n in reasons if n}),
            quantity=counts[s.QUANTITY],
        )

    def _plan(self, rows: Int64s, begin: int) -> None:
        tables = self._tables
        categories, curve = tables.categories, tables.curve
        p.plan_events(
            rows,
            begin,
            tables.numbers,
            tables.kinds,
            tables.orgs,
            categories.row,
            categories.wire_id,
            categories.cumulative,
            categories.single,
            categories.low,
            categories.high,
            curve.first,
            curve.start,
            curve.length,
        )
