"""A period's usage with all that prices ask for: parts of it by time and group, single events, cuts at instants.

    needs = {"error": Need("hour"), "seer_user": Need(events=True), "span": Need(dimensions=True)}
    for usage in read_detailed_usage(store, period, needs): ...          # by ascending organisation

Guarantees: memory holds one organisation; sums are exact; the snapshot id names every usage row and kept event that
was read. The events of a category are given whole or not at all: where fewer were kept than were counted (the
catalogue has asked for them only since), none are, and a price that needs them fails by name. Where a run writes
meanwhile, kept events, which are read after the rows, may be ahead of them; then everything said of the category is
said of those events, so that its total, its parts and its events are one usage.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from schemas.period import Period
from schemas.statements import CategoryUsage, KeptEvent, OrgUsage, UsagePart
from sinks.store import Store
from tally.usage_sql import HASH, Need, kept_sql, latest_cut, part_start, snapshot_id, usage_sql

MINUTE: Final = dt.timedelta(minutes=1)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_TOTALS: Final = Need()


class _Rows(NamedTuple):
    """Usage rows of one category, summed by part, and what names them: their number and the sum of their hashes.

    `events`, by generation of a log, only where the category's events are asked for.
    """

    usage: CategoryUsage
    events: Counter[str]
    read: int
    hashed: int


class _Events(NamedTuple):
    """The kept events of one category, with what names them, and how many there are by generation of a log."""

    kept: tuple[KeptEvent, ...]
    events: Counter[str]
    hashed: int

    def whole(self, rows: _Rows) -> bool:
        """Say whether these are the events of the rows, or ahead of them: in every generation by itself.

        Those that one generation is ahead would otherwise stand for events of another one, which kept none.
        """
        return self.events >= rows.events


def read_detailed_usage(
    store: Store,
    period: Period,
    needs: Mapping[str, Need],
    cuts: Iterable[dt.datetime] = (),
    org_id: int | None = None,
    window: dt.timedelta = MINUTE,
) -> Iterator[OrgUsage]:
    """Yield each organisation's usage in the period, by ascending id; only one organisation's where `org_id` says so.

    A category without a need gives its total. `cuts` are instants inside the period, on window starts, that no part
    reaches across; with any, every category has parts. `window` is the length of usage windows, by which events are
    told apart where a need asks for windows. Windows belong to the period in which they start.
    """
    bounds = sorted({period.start, *(cut for cut in cuts if period.start < cut < period.end)})
    sql, parameters = usage_sql(period, needs, bounds, org_id)
    if len(bounds) == 1 and all(need == _TOTALS for need in needs.values()):
        yield from _totals(store.stream(sql, parameters))
        return
    wanted = sorted(category for category, need in needs.items() if need.events)
    rows = groupby(store.stream(sql, parameters), key=itemgetter(0))
    events: Iterator[tuple[int, Iterator[tuple[Any, ...]]]] = iter(())
    if wanted:
        events = groupby(store.stream(*kept_sql(period, wanted, org_id)), key=itemgetter(0))
    for org, mine, theirs in _merged(rows, events):
        counted = {category: _rows(some, needs.get(category, _TOTALS), bounds) for category, some in _by(1, mine)}
        kept = {category: _events(some) for category, some in _by(1, theirs)}
        usage, count, hashed = {}, 0, 0
        for category in sorted({*counted, *kept}):
            found = counted.get(category, _NOTHING)
            own = kept.get(category)
            usage[category] = found.usage
            if own is not None and own.whole(found):
                usage[category] = _with_events(found.usage, own.kept, needs[category], bounds, window)
            count += found.read + (0 if own is None else len(own.kept))
            hashed = (hashed + found.hashed + (0 if own is None else own.hashed)) % HASH
        yield OrgUsage(org, usage, snapshot_id(count, hashed))


def _totals(rows: Iterable[tuple[Any, ...]]) -> Iterator[OrgUsage]:
    """Yield usage of which nothing but totals is asked: a row is a category, and needs no putting together."""
    org, usage, count, hashed = -1, dict[str, CategoryUsage](), 0, 0
    for mine, category, _, _, quantity, events, largest, first, last, _, read_rows, read_hash in rows:
        if mine != org:
            if usage:
                yield OrgUsage(org, usage, snapshot_id(count, hashed % HASH))
            org, usage, count, hashed = mine, {}, 0, 0
        usage[category] = CategoryUsage(quantity, _second(first), _second(last), events, largest)
        count += read_rows
        hashed += read_hash
    if usage:
        yield OrgUsage(org, usage, snapshot_id(count, hashed % HASH))


def _merged(
    rows: Iterator[tuple[int, Iterator[Any]]], events: Iterator[tuple[int, Iterator[Any]]]
) -> Iterator[tuple[int, Iterable[Any], Iterable[Any]]]:
    """Merge two ascending streams of organisations; what one of them lacks is empty."""
    mine, theirs = next(rows, None), next(events, None)
    while mine is not None or theirs is not None:
        org = min(one[0] for one in (mine, theirs) if one is not None)
        has_rows, has_events = mine is not None and mine[0] == org, theirs is not None and theirs[0] == org
        yield (
            int(org),
            mine[1] if mine is not None and has_rows else (),
            theirs[1] if theirs is not None and has_events else (),
        )
        mine = next(rows, None) if has_rows else mine
        theirs = next(events, None) if has_events else theirs


def _by(place: int, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, Iterator[tuple[Any, ...]]]]:
    return groupby(rows, key=itemgetter(place))


def _rows(rows: Iterable[tuple[Any, ...]], need: Need, bounds: Sequence[dt.datetime]) -> _Rows:
    if not need.in_parts and not need.events and len(bounds) == 1:
        [(_, _, _, _, quantity, events, largest, first, last, _, read_rows, read_hash)] = rows
        usage = CategoryUsage(quantity, _second(first), _second(last), events, largest)
        return _Rows(usage, _NO_EVENTS, read_rows, read_hash)
    parts: list[UsagePart] = []
    firsts: list[int] = []
    lasts: list[int] = []
    by_generation: Counter[str] = Counter()
    count = hashed = 0
    for _, _, start, dimensions, quantity, events, largest, first, last, generations, read_rows, read_hash in rows:
        windows = _second(first), _second(last)
        parts.append(UsagePart(_second(start), int(quantity), int(events), int(largest), dimensions, *windows))
        firsts.append(first)
        lasts.append(last)
        if generations:
            by_generation.update(dict(zip(*generations, strict=True)))
        count += read_rows
        hashed += read_hash
    parts.sort(key=lambda part: (part.start, part.dimensions))
    usage = CategoryUsage(
        sum(int(part.quantity) for part in parts),
        _second(min(firsts)),
        _second(max(lasts)),
        sum(part.events for part in parts),
        max(int(part.max_quantity) for part in parts),
        tuple(parts) if need.in_parts or len(bounds) > 1 else (),
    )
    return _Rows(usage, by_generation, count, hashed % HASH)


def _events(rows: Iterable[tuple[Any, ...]]) -> _Events:
    kept: list[KeptEvent] = []
    by_generation: Counter[str] = Counter()
    hashed = 0
    for _, _, at, quantity, value, amount, dimensions, generation, read_hash in rows:
        kept.append(KeptEvent(_micros(at), int(quantity), value, amount, dimensions))
        by_generation[generation] += 1
        hashed += read_hash
    return _Events(tuple(kept), by_generation, hashed % HASH)


def _with_events(
    usage: CategoryUsage, kept: tuple[KeptEvent, ...], need: Need, bounds: Sequence[dt.datetime], window: dt.timedelta
) -> CategoryUsage:
    if len(kept) == usage.events:
        return usage._replace(kept=kept)  # a run that is not writing, or has written both: they are the same events
    zone = ZoneInfo(need.zone)
    sums: dict[tuple[dt.datetime, str], UsagePart] = {}
    if need.in_parts or len(bounds) > 1:
        for event in kept:
            start = max(part_start(event.at, need.grain, zone, window, bounds[0]), latest_cut(event.at, bounds))
            dimensions = event.dimensions if need.dimensions else ""
            at = event.at - (event.at - _EPOCH) % window
            part = sums.get((start, dimensions), UsagePart(start, 0, 0, 0, dimensions, at))
            sums[start, dimensions] = part._replace(
                last_window=at,
                quantity=int(part.quantity) + int(event.quantity),
                events=part.events + 1,
                max_quantity=max(int(part.max_quantity), int(event.quantity)),
            )
    windows = [event.at - (event.at - _EPOCH) % window for event in (kept[0], kept[-1])]
    return CategoryUsage(
        sum(int(event.quantity) for event in kept),
        windows[0],
        windows[1],
        len(kept),
        max(int(event.quantity) for event in kept),
        tuple(sums[key] for key in sorted(sums)),
        kept,
    )


_NO_EVENTS: Final[Counter[str]] = Counter()
_NOTHING: Final = _Rows(CategoryUsage(0), _NO_EVENTS, 0, 0)


@lru_cache(maxsize=1 << 16)
def _second(seconds: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(seconds=seconds)


def _micros(micros: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=micros)
