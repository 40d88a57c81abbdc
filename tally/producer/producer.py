"""The producer that applications use: events in, acknowledged deliveries and reports on them out."""

import atexit
import datetime as dt
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Final, Self
from weakref import WeakSet

from dataflows.sources.kafka_topic import Property
from schemas.catalogue import Catalogue
from schemas.controls import controls_topic
from schemas.errors import SettingsError
from tally.producer.client import Client
from tally.producer.engine import Engine, left
from tally.producer.errors import (
    ControlsUndelivered,
    FlushTimeout,
    ProducerClosed,
    ProducerError,
    ProducerFull,
    Undelivered,
)
from tally.producer.events import Attributes, JsonWriter, UsageEvent, check, instant, new_event_id
from tally.producer.outbox import EVENT, RECORD, Outbox
from tally.producer.packing import Packing, load
from tally.producer.reporting import Reporter
from tally.producer.totals import Totals

BATCH_EVENTS: Final[Mapping[Packing, int]] = {"json": 1, "ndjson": 100, "arrow": 1_000}
DEFAULT: Final = "<topic>.controls"
"""In place of a topic for the reports: the events' own with `.controls` behind."""

FRAMING: Final = 2_000
"""Bytes of a record beside its value, and of the request that it is sent in."""
TICK: Final = 0.1
"""Seconds between two looks of the producer's own thread, at most."""
POLL_EVERY: Final = 500
"""Events taken between two looks at the answers."""
AT_EXIT: Final = 10.0
"""Seconds that a producer which was left open may hold up the end of its process."""


def wall_clock() -> int:
    """Return the time now, in microseconds UTC."""
    return time.time_ns() // 1_000


class UsageProducer:
    """Sends usage events to a topic, each once, and reports what was acknowledged.

    Guaranteed: an event that was taken is delivered, or handed back by an exception; memory is bounded by about
    `max_bytes`; an (organisation, event id) always goes to the same partition while the topic has the same number of
    them; totals never count what the broker has not acknowledged. All methods may be called from several threads.
    Not guaranteed: an order of events; what a process that is killed still held; use after fork() (make a producer in
    each process).
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        source: str,
        packing: Packing = "json",
        batch_events: int | None = None,
        linger: float = 0.05,
        max_bytes: int = 64 << 20,
        timeout: float | None = 60.0,
        salted: Mapping[int, int] | None = None,
        catalogue: Catalogue | None = None,
        controls: str | None = DEFAULT,
        controls_every: float = 10.0,
        largest_record: int = 1_000_000,
        properties: Mapping[str, Property] | None = None,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        """Take "host:port[,host:port…]", the topic and the producer's name; nothing is asked of a broker yet.

        `packing`: how events become records (json: one each; ndjson, arrow: `batch_events` of a partition each, or
        as many as come within `linger` seconds). `max_bytes`: memory for events that are not acknowledged. `timeout`:
        seconds that a call may block while that is full, or for `flush` and `close` (0: not at all; None: for ever).
        `salted`: over how many partitions to spread very large organisations. `catalogue`: refuse other categories.
        `controls`: the topic of the reports (None: no reports), made every `controls_every` seconds, by `flush` and
        by `close`. `largest_record`: bytes that the broker takes as one record. `properties`: librdkafka's.
        `clock`: microseconds UTC, for what reports say of themselves. Raises SettingsError.
        """
        _check_settings(source, packing, batch_events, max_bytes, largest_record)
        load(packing)
        self._pid = os.getpid()
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._largest = largest_record - FRAMING
        self._packing: Packing = packing
        self._categories = None if catalogue is None else frozenset(catalogue.names)
        self._json = JsonWriter(source)
        self._overhead = EVENT + (RECORD if packing == "json" else 0)
        reports_to = controls_topic(topic) if controls == DEFAULT else controls
        batched = packing != "json"
        client = Client(
            bootstrap,
            topic,
            reports_to,
            properties or {},
            linger=min(linger, 0.005) if batched else linger,
            largest=largest_record,
        )
        self._totals = Totals(topic, source, new_event_id, clock())
        self._outbox = Outbox(
            packing,
            self._json,
            client.send,
            batch_events=batch_events or BATCH_EVENTS[packing],
            batch_bytes=self._largest,
            linger=linger,
            clock=time.monotonic,
            acknowledged=self._totals.add,
        )
        self._engine = Engine(
            client,
            self._outbox,
            Reporter(self._totals, partial(client.send_report, source)) if reports_to else None,
            salted or {},
            tick=min(TICK, max(linger, 0.005)) if batched else TICK,
            report_every=controls_every,
            clock=clock,
        )
        self._client = client
        self._closing = self._closed = self._forked = False
        self._since_poll = 0
        self._engine.start()
        _made.add(self)
        atexit.register(self._close_at_exit)

    # ---- what an application calls ----

    def add(
        self,
        org_id: int,
        category: str,
        quantity: int,
        *,
        timestamp: dt.datetime | str | int,
        event_id: str | None = None,
        project_id: int = 0,
        attributes: Attributes | None = None,
    ) -> str:
        """Take an event and return its id, a new one where none is given.

        Raises ValueError where it does not fit the native format, ProducerFull where it cannot be held, Undelivered
        with events that were taken earlier. Where it raises, this event was not taken: add it again, with the same id
        and the same timestamp.
        """
        made = new_event_id() if event_id is None else event_id
        when = timestamp if type(timestamp) is int else instant(timestamp)
        self._add(UsageEvent(made, org_id, category, quantity, when, project_id, attributes))
        return made

    def add_many(self, events: Iterable[UsageEvent]) -> int:
        """Take events, in order, and return how many. Raises as `add` does; `added` of the error says how many."""
        added = 0
        try:
            for event in events:
                self._add(event)
                added += 1
        except ProducerError as error:
            error.added = added
            raise
        return added

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything that was added before is acknowledged, and reported. `timeout`: instead of the usual.

        Raises Undelivered with the events that the broker refused, FlushTimeout where it takes longer (nothing is
        lost), ControlsUndelivered where only the report did not arrive.
        """
        deadline = self._deadline(timeout)
        with self._engine.lock:
            self._enter()
            round_ = self._outbox.begin_round()
        delivered = self._engine.deliver(round_, deadline)
        with self._engine.lock:
            self._raise_failed()
        if not delivered:
            raise FlushTimeout(
                f"{self._client.uri}: {self._outbox.events:,} events are not acknowledged yet{self._why()}; they are "
                "kept, and still being sent"
            )
        self._report(deadline)

    def close(self, timeout: float | None = None) -> None:
        """Flush, report for the last time, and let go of the broker; may be called twice.

        Raises Undelivered with everything that was not acknowledged in time: it will not be sent any more. Some of it
        may have arrived all the same, which is why it must be added again with the same ids.
        """
        with self._engine.lock:
            if self._forked:
                self._enter()
            if self._closed:
                return
            self._closing = True
            round_ = self._outbox.begin_round()
        deadline = self._deadline(timeout)
        try:
            delivered = self._engine.deliver(round_, deadline)
            unknown = 0 if delivered else self._engine.abandon()
            try:
                with self._engine.lock:
                    self._raise_failed(last=True)
            finally:
                if delivered:
                    self._report(deadline, closing=True)
            assert not unknown, f"{unknown} records were neither sent nor given up"
        finally:
            self._closed = True
            atexit.unregister(self._close_at_exit)
            self._engine.stop()

    @property
    def instance(self) -> str:
        """Return the name under which this producer reports now."""
        return self._totals.instance

    @property
    def pending(self) -> int:
        """Return how many events were taken and are neither acknowledged nor handed back."""
        return self._outbox.events

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # ---- behind it ----

    def _add(self, event: UsageEvent) -> None:
        check(event, self._categories)
        if event.attributes:
            event = event._replace(attributes=dict(event.attributes))  # the caller's own may change
        line = b"" if self._packing == "arrow" and not event.attributes else self._json(event)
        if len(line) > self._largest:
            raise ValueError(f"the event has {len(line):,} bytes; a record may have {self._largest:,}")
        weight = self._overhead + (len(line) or 2 * len(event.event_id))
        outbox = self._outbox
        with self._engine.lock:
            if self._closing or outbox.failed or outbox.fatal or self._engine.refusal:
                self._enter()
            if outbox.held + weight > self._max_bytes:
                self._wait_for_room(weight)
            outbox.take(event, line, weight)
            self._since_poll += 1
            if self._since_poll >= POLL_EVERY:
                self._since_poll = 0
                self._engine.wait(0)

    def _enter(self) -> None:
        """Raise what stands against a call; the lock is held."""
        if self._forked:
            raise ProducerClosed(
                f"{self._client.uri}: the producer was made in process {self._pid}, and does not survive a fork: make "
                f"one in process {os.getpid()}"
            )
        if self._closing:
            raise ProducerClosed(f"{self._client.uri}: the producer is closed; nothing was taken")
        self._raise_failed()
        if self._outbox.fatal:
            raise ProducerError(
                f"{self._client.uri}: the client cannot go on ({self._outbox.fatal}): close this producer, make "
                "another one, and add there what was handed back"
            )
        if self._engine.refusal:
            raise ProducerError(self._engine.refusal)

    def _wait_for_room(self, weight: int) -> None:
        """Return when an event of that weight can be held; the lock is held, and let go while waiting."""
        deadline = self._deadline(None)
        while self._outbox.held + weight > self._max_bytes:
            self._outbox.seal()
            seconds = left(deadline)
            if seconds <= 0:
                raise ProducerFull(
                    f"{self._client.uri}: {self._outbox.events:,} events wait for the brokers{self._why()}, which is "
                    f"all that max_bytes={self._max_bytes:,} allows; this event was not taken: add it again later, "
                    "with the same id and timestamp"
                )
            self._engine.wait(seconds)
            self._enter()

    def _deadline(self, timeout: float | None) -> float | None:
        timeout = self._timeout if timeout is None else timeout
        return None if timeout is None else time.monotonic() + timeout

    def _report(self, deadline: float | None, *, closing: bool = False) -> None:
        problem = self._engine.report(deadline, closing=closing)
        if problem:
            raise ControlsUndelivered(
                f"{self._client.uri}: the events were delivered, but the control totals were not "
                f"({problem}){self._why()}"
            )

    def _why(self) -> str:
        trouble = self._engine.refusal or self._client.trouble
        return f" ({trouble})" if trouble else ""

    def _raise_failed(self, *, last: bool = False) -> None:
        """Hand back what will not be delivered any more, if there is any; the lock is held."""
        if not self._outbox.failed:
            return
        events, why = self._outbox.take_failed()
        again = "add them to another producer" if last or self._outbox.fatal else "add them again"
        raise Undelivered(
            f"{self._client.uri}: {len(events):,} events were not delivered: {why}{self._why()}; this exception's "
            f"`events` has them: {again}, with the same ids",
            events,
        )

    def _close_at_exit(self) -> None:
        """Close a producer that its process has left open, so that nothing is lost in silence."""
        if self._closed or self._forked:
            return
        try:
            self.close(AT_EXIT)
        except ProducerError as error:
            print(f"usage producer: left open at the end of the process: {error}", file=sys.stderr, flush=True)


_made: "WeakSet[UsageProducer]" = WeakSet()


def _after_fork() -> None:
    """Close this process's copies of the parent's producers: their threads did not come along."""
    for producer in _made:
        producer._closing = producer._forked = True
        producer._engine.forget()


os.register_at_fork(after_in_child=_after_fork)


def _check_settings(
    source: str, packing: Packing, batch_events: int | None, max_bytes: int, largest_record: int
) -> None:
    """Raise SettingsError for what cannot be."""
    if not 1 <= len(source) <= 256:
        raise SettingsError("source: name the producer, in 1 to 256 characters")
    if packing not in BATCH_EVENTS:
        raise SettingsError(f"packing: there is no {packing!r}; choose json, ndjson or arrow")
    if packing == "json" and batch_events not in {None, 1}:
        raise SettingsError("batch_events: json is one event a record; choose ndjson or arrow")
    if batch_events is not None and not 1 <= batch_events <= 100_000:
        raise SettingsError(f"batch_events: found {batch_events}; choose 1 to 100,000")
    if not 10_000 <= largest_record <= 100_000_000:
        raise SettingsError(f"largest_record: found {largest_record:,}; choose 10,000 to 100,000,000 bytes")
    if not 2 * largest_record <= max_bytes <= 1 << 30:
        raise SettingsError(f"max_bytes: found {max_bytes:,}; choose two records ({2 * largest_record:,}) to 1 GiB")
