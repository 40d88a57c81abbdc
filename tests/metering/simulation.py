"""A store and runs against it, small enough to crash at any point: what the properties of the meter are tested on."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dataflows.meter import Meter
from schemas.catalogue import Catalogue, Category, Keep
from schemas.log import EventBatch, KeptValues, LogId, RecordBatch
from schemas.metering import MeterSettings
from schemas.progress import Mark, Progress
from schemas.usage import DeadLetter, Flush
from schemas.verdicts import ACCEPTED, NOT_BILLABLE, code_of
from tests import oracle

LOG = LogId("events", "0")
CATEGORIES = ("error", "span", "replay")


def catalogue_of(rules: oracle.Rules) -> Catalogue:
    keep = {name: Keep(value="user", amount="price") for name in rules.kept}
    return Catalogue(tuple(Category(id=n, name=name, keep=keep.get(name)) for n, name in enumerate(CATEGORIES)))


def settings_of(rules: oracle.Rules, **more: Any) -> MeterSettings:
    return MeterSettings(
        catalogue_of(rules),
        group_by_project=rules.group_by_project,
        window=rules.window,
        allowed_lateness=rules.allowed_lateness,
        bucket=rules.bucket,
        horizon_buckets=rules.horizon_buckets,
        max_future=rules.max_future,
        max_age=rules.max_age,
        as_of=rules.as_of,
        **more,
    )


def first_progress(start: int = 0, fingerprint: str = "f") -> Progress:
    return Progress(LOG, 1, fingerprint, start, start, Mark(start, None, None, start))


def _hash(text: str, size: int) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest(), "big")


def batch_of(records: Sequence[oracle.Record], next_offset: int, kept: tuple[str, ...]) -> EventBatch:
    """Columns of the oracle's events, as the decoder would give them; `kept` are the categories that keep theirs."""
    events = [(r, i, event) for r, record in enumerate(records) for i, event in enumerate(record.events)]
    timed = bool(records) and records[0].timestamp is not None
    ids = [_hash(f"{e.org}/{e.event_id}", 16) if e.event_id is not None else 0 for _, _, e in events]
    dimensions = ("", *sorted({e.dimensions for _, _, e in events} - {""}))
    subreasons = tuple(sorted({e.not_billable or "" for _, _, e in events}))
    empty = np.zeros(len(records), dtype=np.int64)
    return EventBatch(
        records=RecordBatch(
            LOG,
            b"",
            empty,
            empty,
            np.array([record.offset for record in records], dtype=np.int64),
            np.array([record.timestamp for record in records], dtype=np.int64) if timed else None,
            next_offset,
        ),
        record=np.array([r for r, _, _ in events], dtype=np.int32),
        index=np.array([i for _, i, _ in events], dtype=np.int32),
        verdict=np.array([_code(e) for _, _, e in events], dtype=np.uint8),
        org=np.array([e.org for _, _, e in events], dtype=np.int64),
        project=np.array([e.project for _, _, e in events], dtype=np.int64),
        category=np.array([CATEGORIES.index(e.category) for _, _, e in events], dtype=np.int32),
        quantity=np.array([e.quantity for _, _, e in events], dtype=np.int64),
        timestamp=np.array([e.timestamp for _, _, e in events], dtype=np.int64),
        id_high=np.array([n >> 64 for n in ids], dtype=np.uint64),
        id_low=np.array([n & (2**64 - 1) for n in ids], dtype=np.uint64),
        payload=np.array([_hash(repr(e.payload(kept)), 8) for _, _, e in events], dtype=np.uint64),
        dimensions=np.array([dimensions.index(e.dimensions) for _, _, e in events], dtype=np.int32),
        subreason=np.array([subreasons.index(e.not_billable or "") for _, _, e in events], dtype=np.int32),
        dimension_values=dimensions,
        subreasons=subreasons,
        raw=lambda i: f"event {records[events[i][0]].offset}.{events[i][1]}".encode(),
        kept={n: KeptValues(e.value, e.amount) for n, (_, _, e) in enumerate(events) if e.category in kept},
    )


def _code(event: oracle.Event) -> int:
    if event.rejected is not None:
        return code_of(event.rejected)  # type: ignore[arg-type]  # the tests' events carry the closed set's words
    return NOT_BILLABLE if event.not_billable is not None else ACCEPTED


@dataclass
class Store:
    """Replacing tables as dicts: a row is replaced by one of the same key with the same or a higher version."""

    rows: dict[tuple[Any, ...], oracle.Row] = field(default_factory=dict)
    kept: dict[tuple[int, int], oracle.Kept] = field(default_factory=dict)
    letters: dict[tuple[int, int], DeadLetter] = field(default_factory=dict)
    progress: Progress = field(default_factory=first_progress)

    def write(self, flush: Flush, crash: Callable[[], bool] = lambda: False) -> bool:
        """Write kept events and rows one by one, dead letters, then progress; False where `crash` said so."""
        for at, kept in kept_of(flush):
            if crash():
                return False
            # A second copy must be the first one: a replacing table keeps either.
            assert self.kept.setdefault(at, kept) == kept
        for key, row in rows_of(flush):
            if crash():
                return False
            held = self.rows.get(key)
            if held is None or held.last_offset <= row.last_offset:
                self.rows[key] = row
        for letter in flush.dead_letters:
            if crash():
                return False
            self.letters[letter.offset, letter.index] = letter
        if crash():
            return False
        if flush.progress.next_offset >= self.progress.next_offset:
            self.progress = flush.progress
        return not crash()


def rows_of(flush: Flush) -> Iterator[tuple[tuple[Any, ...], oracle.Row]]:
    r = flush.rows
    for i in range(len(r)):
        key = (
            int(r.org[i]),
            r.category_names[r.category[i]],
            int(r.project[i]),
            r.dimension_values[r.dimensions[i]],
            int(r.window_start[i]),
            int(r.segment[i]),
        )
        yield (
            key,
            oracle.Row(
                int(r.quantity[i]),
                int(r.events[i]),
                int(r.max_quantity[i]),
                int(r.first_offset[i]),
                int(r.last_offset[i]),
                int(r.first_timestamp[i]),
                int(r.last_timestamp[i]),
            ),
        )


def kept_of(flush: Flush) -> Iterator[tuple[tuple[int, int], oracle.Kept]]:
    k = flush.kept
    for i in range(0 if k is None else len(k)):
        assert k is not None
        yield (
            (int(k.offset[i]), int(k.index[i])),
            oracle.Kept(
                int(k.org[i]),
                k.category_names[k.category[i]],
                int(k.project[i]),
                int(k.timestamp[i]),
                int(k.quantity[i]),
                k.dimensions[i],
                k.values[i],
                k.amounts[i],
            ),
        )


class Run:
    """One run over the log from the store's progress on, a step at a time, so that several can be interleaved."""

    def __init__(self, records: Sequence[oracle.Record], settings: MeterSettings, store: Store, end: int) -> None:
        self.records, self.store, self.end = records, store, end
        self.meter = Meter(settings, store.progress, broker_clock=bool(records) and records[0].timestamp is not None)
        self.at = store.progress.mark.warm_offset
        self.kept = tuple(settings.catalogue.names[row] for row in settings.catalogue.keeps())

    @property
    def done(self) -> bool:
        return self.at >= self.end

    def step(self, size: int) -> None:
        """Meter the next `size` records."""
        left = [record for record in self.records if record.offset >= self.at]
        taken = left[:size]
        self.at = left[size].offset if len(left) > size else self.end
        self.meter.add(batch_of(taken, self.at, self.kept))

    def flush(self, crash: Callable[[], bool] = lambda: False) -> bool:
        return self.store.write(self.meter.flush(), crash)


def undisturbed(records: Sequence[oracle.Record], settings: MeterSettings, end: int) -> Store:
    """Meter the whole log in one batch and one flush."""
    store = Store()
    run = Run(records, settings, store, end)
    if not run.done:
        run.step(len(records))
    run.flush()
    return store


def stable(progress: Progress) -> Progress:
    """Progress without what a different history may legitimately leave in it: nothing but the wall clock."""
    return replace(progress, log_end=None, log_end_seen_at=None)
