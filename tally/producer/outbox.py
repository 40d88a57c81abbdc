"""Events between an application and the broker's acknowledgement: waiting for a partition, in a batch, on their way.

Use under one lock. `deliver` is what the client calls back, from whatever thread polls it: it only puts the answer
into a queue, which `settle` empties, so that no lock is ever taken within the client.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from confluent_kafka import KafkaError, KafkaException, Message

from schemas.controls import MINUTE
from tally.producer.events import JsonWriter, UsageEvent
from tally.producer.packing import Batch, Lines, Packing, Tally, batch_of, fits_arrow, unpack
from tally.producer.placement import Placement, key_of

EVENT: Final = 400
"""Bytes that an event counts for beside its JSON, while this process holds it."""
RECORD: Final = 400
"""Bytes more where it is a record of its own: the client's part, and the callback's."""

Deliver = Callable[[KafkaError | None, Message], None]


class Send(Protocol):
    """Queue a record with the client."""

    def __call__(self, value: bytes, key: bytes | None, partition: int, deliver: Deliver, /) -> None:
        """Return at once; the answer goes to `deliver`. Raises KafkaException where the client will not take it."""
        ...


class Sent:
    """A record on its way."""

    __slots__ = ("answers", "events", "round", "tally", "weight")

    def __init__(self, answers: "deque[Answer]", tally: Tally, events: int, weight: int, round_: int) -> None:
        self.answers = answers
        self.tally = tally
        self.events = events
        self.weight = weight
        self.round = round_

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        """Take the client's answer."""
        self.answers.append((self, error, b"" if error is None else message.value() or b""))


Answer = tuple[Sent, KafkaError | None, bytes]


@dataclass(slots=True)
class _Open:
    """A batch that is being filled."""

    batch: Batch
    round: int
    until: float
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """A record that was not delivered, and why."""

    value: bytes
    why: str
    weight: int


class Outbox:
    """Holds what is not acknowledged yet, in bounded memory: `held` says how much, the caller keeps to the bound."""

    def __init__(
        self,
        packing: Packing,
        json: JsonWriter,
        send: Send,
        *,
        batch_events: int,
        batch_bytes: int,
        linger: float,
        clock: Callable[[], float],
        acknowledged: Callable[[Tally], None],
    ) -> None:
        """Take how to pack and to send.

        `linger`: seconds of `clock` that a batch waits for more. `acknowledged` takes what has arrived.
        """
        self._packing = packing
        self._json = json
        self._send_record = send
        self._batch_events = batch_events
        self._batch_bytes = batch_bytes
        self._linger = linger
        self._clock = clock
        self._acknowledged = acknowledged
        self._placement: Placement | None = None
        self._waiting: deque[tuple[UsageEvent, bytes, int, int]] = deque()
        self._open: dict[int, _Open] = {}
        self._sent: Counter[int] = Counter()
        self._failed: list[Failed] = []
        self._answers: deque[Answer] = deque()
        self._round = 0
        self.held = 0
        self.events = 0
        """Events taken and neither acknowledged nor handed back."""
        self.failed = False
        """Whether there are records that will not be delivered any more."""
        self.fatal = ""
        """What the client said when it gave up for good."""

    @property
    def placed(self) -> bool:
        """Say whether the topic's partitions are known."""
        return self._placement is not None

    @property
    def on_their_way(self) -> int:
        """Return how many records the client has and has not answered for."""
        return self._sent.total()

    def take(self, event: UsageEvent, line: bytes, weight: int) -> None:
        """Take a checked event; `line` is its JSON (Arrow: b"" where it has no attributes), `weight` what it holds."""
        self.held += weight
        self.events += 1
        if self._placement is None:
            self._waiting.append((event, line, weight, self._round))
        else:
            self._put(event, line, weight, self._round, self._placement)

    def place(self, placement: Placement) -> None:
        """Learn the partitions, and put the events that waited for them on their way."""
        self._placement = placement
        while self._waiting:
            self._put(*self._waiting.popleft(), placement)

    def _put(self, event: UsageEvent, line: bytes, weight: int, round_: int, placement: Placement) -> None:
        partition = placement(event.org_id, event.event_id)
        if self._packing == "json":
            tally = {(event.category, event.timestamp - event.timestamp % MINUTE): (1, event.quantity)}
            self._send(partition, key_of(event.org_id), line, Sent(self._answers, tally, 1, weight, round_))
            return
        if self._packing == "arrow" and event.attributes and not fits_arrow(event):
            alone = _Open(Lines(), round_, 0.0, weight)
            alone.batch.add(event, line)
            self._seal(partition, alone)
            return
        found = self._open.get(partition)
        if found is not None and (
            found.batch.size + len(line) + EVENT > self._batch_bytes
            or (event.attributes and not found.batch.takes(event))
        ):
            self._close(partition)
            found = None
        if found is None:
            found = self._open[partition] = _Open(
                batch_of(self._packing, self._json.source), round_, self._clock() + self._linger
            )
        found.batch.add(event, line)
        found.weight += weight
        if found.batch.events >= self._batch_events:
            self._close(partition)

    def _close(self, partition: int) -> None:
        self._seal(partition, self._open[partition])
        del self._open[partition]  # only now: what could not be packed is still here

    def _seal(self, partition: int, done: _Open) -> None:
        batch = done.batch
        value = batch.value()
        weight = EVENT + RECORD + len(value)  # from now on it is one record
        self.held += weight - done.weight
        # Events of several organisations may be in it: the partition is all that they share, so there is no key.
        self._send(partition, None, value, Sent(self._answers, batch.tally, batch.events, weight, done.round))

    def _send(self, partition: int, key: bytes | None, value: bytes, sent: Sent) -> None:
        self._sent[sent.round] += 1
        try:
            self._send_record(value, key, partition, sent)
        except KafkaException as error:
            self._answers.append((sent, error.args[0], value))
        except BufferError:
            self._answers.append((sent, KafkaError(KafkaError._QUEUE_FULL), value))

    def seal(self, now: float | None = None) -> None:
        """Send the batches that have waited long enough by then; all of them without a time."""
        for partition in [p for p, found in self._open.items() if now is None or found.until <= now]:
            self._close(partition)

    def settle(self) -> None:
        """Take in what the client has answered since the last time."""
        answers = self._answers
        while answers:
            sent, error, value = answers.popleft()
            self._sent[sent.round] -= 1
            if not self._sent[sent.round]:
                del self._sent[sent.round]
            if error is None:
                self.held -= sent.weight
                self.events -= sent.events
                self._acknowledged(sent.tally)
                continue
            if error.fatal() or error.code() == KafkaError._FATAL:
                self.fatal = error.str()
            self._fail(value, error.str(), sent.weight)

    def begin_round(self) -> int:
        """Let what is taken from now on belong to another round; return the one that ends."""
        self._round += 1
        return self._round - 1

    def settled(self, round_: int) -> bool:
        """Say whether nothing of that round or an earlier one is on its way."""
        return not (
            (self._waiting and self._waiting[0][3] <= round_)
            or any(found.round <= round_ for found in self._open.values())
            or any(number <= round_ for number in self._sent)
        )

    def take_failed(self) -> tuple[list[UsageEvent], str]:
        """Hand back the events that were not delivered, and say why: they are held here no longer."""
        events = [event for failed in self._failed for event in unpack(failed.value)]
        why = ", ".join(dict.fromkeys(failed.why for failed in self._failed))
        self.held -= sum(failed.weight for failed in self._failed)
        self.events -= len(events)
        self._failed.clear()
        self.failed = False
        return events, why

    def abandon(self) -> None:
        """Give up what was not handed to the client: it counts as not delivered."""
        for partition in list(self._open):
            found = self._open.pop(partition)
            self._fail(found.batch.value(), "not sent", found.weight)
        while self._waiting:
            event, line, weight, _ = self._waiting.popleft()
            one = Lines()
            one.add(event, line or self._json(event))
            self._fail(one.value(), "not sent", weight)

    def _fail(self, value: bytes, why: str, weight: int) -> None:
        self._failed.append(Failed(value, why, weight))
        self.failed = True
