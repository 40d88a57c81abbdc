"""A flow's state as readings of its counters and gauges: pure, asked when somebody collects."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from tally.telemetry.names import ABOUT, OF_A_FLOW, Metric
from tally.telemetry.state import FlowState, LogState, Place, Written, place_of

MICROSECONDS: Final = 1_000_000


class Reading(NamedTuple):
    """One value with its attributes."""

    value: float
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Moment:
    """What is read: the state, the time (monotonic seconds; microseconds UTC), and whether the flow is ready."""

    state: FlowState
    now: float
    wall: int
    ready: bool


def attributes(place: Place) -> dict[str, str]:
    """Return a place as attributes."""
    return {"topic": place.topic} | ({} if place.partition is None else {"partition": place.partition})


def _counted(number: Callable[[Written], int]) -> Callable[[Moment], Iterator[Reading]]:
    def read(moment: Moment) -> Iterator[Reading]:
        for place, written in moment.state.written.items():
            yield Reading(number(written), attributes(place))

    return read


def _by_reason(counts: Callable[[Written], Mapping[str, int]]) -> Callable[[Moment], Iterator[Reading]]:
    def read(moment: Moment) -> Iterator[Reading]:
        for place, written in moment.state.written.items():
            for reason, count in counts(written).items():
                yield Reading(count, attributes(place) | {"reason": reason})

    return read


def _by_place(
    together: Callable[[Iterable[float]], float], value: Callable[[LogState, Moment], float | None]
) -> Callable[[Moment], Iterator[Reading]]:
    """Read a gauge of every log for which it is known, those of one place together."""

    def read(moment: Moment) -> Iterator[Reading]:
        found: dict[Place, list[float]] = {}
        for log in moment.state.logs.values():
            if (number := value(log, moment)) is not None:
                found.setdefault(place_of(log.written), []).append(number)
        for place, numbers in found.items():
            yield Reading(together(numbers), attributes(place))

    return read


def _one(value: Callable[[Moment], float]) -> Callable[[Moment], Iterator[Reading]]:
    def read(moment: Moment) -> Iterator[Reading]:
        yield Reading(value(moment), {})

    return read


def _logs(moment: Moment) -> Iterator[Reading]:
    topics = [log.topic for log in moment.state.logs]
    for topic in dict.fromkeys(topics):
        yield Reading(topics.count(topic), {"topic": topic})


def _end_age(log: LogState, moment: Moment) -> float | None:
    return None if log.written.finite or log.end_seen_at is None else moment.now - log.end_seen_at


def _watermark_delay(log: LogState, moment: Moment) -> float | None:
    return None if log.written.watermark is None else (moment.wall - log.written.watermark) / MICROSECONDS


def _away(moment: Moment) -> float:
    since = moment.state.away_since
    return 0.0 if since is None else moment.now - since


READINGS: Final[dict[Metric, Callable[[Moment], Iterator[Reading]]]] = {
    "tally.records": _counted(lambda written: written.records),
    "tally.events": _counted(lambda written: written.events),
    "tally.accepted": _counted(lambda written: written.accepted),
    "tally.late": _counted(lambda written: written.late),
    "tally.duplicates": _counted(lambda written: written.duplicates),
    "tally.not_billable": _by_reason(lambda written: written.not_billable),
    "tally.rejected": _by_reason(lambda written: written.rejected),
    "tally.rows": _counted(lambda written: written.rows),
    "tally.lag.records": _by_place(sum, lambda log, _: None if log.written.finite else log.lag),
    "tally.lag.bytes": _by_place(sum, lambda log, _: log.lag if log.written.finite else None),
    "tally.log_end.age": _by_place(max, _end_age),
    "tally.watermark.delay": _by_place(max, _watermark_delay),
    "tally.store.waits": _one(lambda moment: moment.state.waits),
    "tally.store.away": _one(_away),
    "tally.logs": _logs,
    "tally.open_rows": _by_place(sum, lambda log, _: log.open_rows),
    "tally.dedupe.ids": _by_place(sum, lambda log, _: log.index_ids),
    "tally.dedupe.size": _by_place(sum, lambda log, _: log.index_bytes),
    "tally.generation": _by_place(max, lambda log, _: log.written.generation),
    "tally.ready": _one(lambda moment: int(moment.ready)),
    "tally.loop.age": _one(lambda moment: moment.now - moment.state.turned_at),
}
"""How each counter and gauge is read. Histograms are recorded instead."""

assert READINGS.keys() == {name for name in OF_A_FLOW if ABOUT[name].kind != "histogram"}
