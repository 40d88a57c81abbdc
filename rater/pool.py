"""A pool: the usage that one charge counts, which can be cut by time, by group and by event.

A period's totals are enough for most charges. What needs to be cut, or needs each event, has to be handed the parts or
the events; where it was not, or where they are not all of the usage, there is no answer and `Missing` says what lacks.
"""

import datetime as dt
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Literal, NoReturn, TypeVar

from rater.models.matrix import attributes_of, label
from rater.spans import bucket, name_of
from schemas.money import exact
from schemas.prices import plain
from schemas.statements import CategoryUsage, KeptEvent, UsagePart

ZERO: Final = Decimal(0)

Each = Literal["hour", "day", "window", "group", "event"]
"""What usage is cut into: spans of time, combinations of grouped attributes, single events."""
Lacking = Literal["needs_parts", "needs_groups", "needs_events", "needs_amount", "needs_account"]


_UNUSED: Final = CategoryUsage(0)

K = TypeVar("K", bound=Hashable)


class Missing(Exception):
    """Usage was handed over without what its price asks for."""

    def __init__(self, reason: Lacking, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Pool:
    """Usage within [start, end) of a period that is `length` long. Make one by `pool`; all inside `exact()`.

    Hours and days are those of `zone`. `first` and `last` are the starts of its first and last windows, where known.
    `level` is the level at `start`, which aggregations over time begin from. `whole` is the anchored period that the
    period is, or is a stub of: usage that is prorated counts for its part of that.
    """

    start: dt.datetime
    end: dt.datetime
    length: dt.timedelta
    zone: dt.tzinfo
    quantity: Decimal
    events: int = 0
    maximum: Decimal = ZERO
    parts: tuple[UsagePart, ...] = ()
    kept: tuple[KeptEvent, ...] = ()
    first: dt.datetime | None = None
    last: dt.datetime | None = None
    level: Decimal = ZERO
    whole: tuple[dt.datetime, dt.datetime] | None = None

    def number(self) -> int:
        """Return the number of events. Raises Missing."""
        if self.quantity and not self.events:
            raise Missing("needs_events", f"{plain(self.quantity)} were used, in a number of events that is not given")
        return self.events

    def every(self) -> tuple[KeptEvent, ...]:
        """Return every event, in order. Raises Missing."""
        total = sum((Decimal(event.quantity) for event in self.kept), ZERO)
        if total != self.quantity or (self.events and len(self.kept) != self.events):
            self._lacks("needs_events", "events", self.kept)
        return self.kept

    def pieces(self, reason: Lacking = "needs_parts") -> tuple[UsagePart, ...]:
        """Return the usage in parts, from the events where there are any. Raises Missing."""
        if self.kept:
            return tuple(
                UsagePart(event.at, event.quantity, 1, event.quantity, event.dimensions) for event in self.every()
            )
        if sum((Decimal(part.quantity) for part in self.parts), ZERO) != self.quantity:
            self._lacks(reason, "parts", self.parts)
        return self.parts

    def until(self, end: dt.datetime) -> "Pool":
        """Return what was used before an instant, which lies between two windows. Raises Missing."""
        if end >= self.end:
            return self
        if self._empty or (self.last is not None and self.last < end):
            return replace(self, end=end)
        if self.first is not None and self.first >= end:
            return replace(self.none(), end=end)
        found = self._by(lambda at, _: at < end, "needs_parts").get(True) or self.none()
        return replace(found, end=end)

    def since(self, start: dt.datetime) -> "Pool":
        """Return what was used from an instant on, which lies between two windows. Raises Missing."""
        if start <= self.start or self._empty or (self.first is not None and self.first >= start):
            return replace(self, start=max(start, self.start))
        if self.last is not None and self.last < start:
            return replace(self.none(), start=start)
        found = self._by(lambda at, _: at >= start, "needs_parts").get(True) or self.none()
        return replace(found, start=start)

    def only(self, quantity: Decimal) -> "Pool":
        """Return the pool with another quantity, of which the parts are not told."""
        return replace(self, quantity=quantity, parts=(), kept=())

    def none(self) -> "Pool":
        """Return the pool without its usage."""
        return self._with(_UNUSED)

    def split(self, each: Collection[Each]) -> "dict[Hashable, tuple[str, Pool]]":
        """Return every part with its name, in order, by a key that is the same for the same part. Raises Missing."""
        if "event" in each:
            return {
                number: (f"event {number}", self._from_kept((event,))) for number, event in enumerate(self.every(), 1)
            }
        if self._empty:
            return {}
        if "window" in each and self.kept and not self.parts:
            raise Missing("needs_parts", "events are given, and not the windows in which they lie")
        source = replace(self, kept=()) if "window" in each else self
        span = next((span for span in ("window", "hour", "day") if span in each), "")

        def key(at: dt.datetime, dimensions: str) -> tuple[dt.datetime, str]:
            return bucket(at, span, self.zone), dimensions if "group" in each else ""

        found: dict[Hashable, tuple[str, Pool]] = {}
        for (begins, dimensions), part in sorted(source._by(key, "needs_parts" if span else "needs_groups").items()):
            names = [name_of(begins, span, self.zone)] if span else []
            names += [label(attributes_of(dimensions)) or "no group"] if "group" in each else []
            found[begins, dimensions] = (" ".join(names), part)
        return found

    def by(self, key: Callable[[dt.datetime], int]) -> dict[int, "Pool"]:
        """Return the usage by what an instant belongs to. Raises Missing."""
        return {} if self._empty else self._by(lambda at, _: key(at), "needs_parts")

    @property
    def _empty(self) -> bool:
        return not (self.quantity or self.events or self.parts or self.kept)

    def _by(self, key: Callable[[dt.datetime, str], K], reason: Lacking) -> "dict[K, Pool]":
        if self.kept:
            events: dict[K, list[KeptEvent]] = {}
            for event in self.every():
                events.setdefault(key(event.at, event.dimensions), []).append(event)
            return {place: self._from_kept(found) for place, found in events.items()}
        parts: dict[K, list[UsagePart]] = {}
        for part in self.pieces(reason):
            parts.setdefault(key(part.start, part.dimensions), []).append(part)
        return {place: self._from_parts(found) for place, found in parts.items()}

    def _from_kept(self, kept: Sequence[KeptEvent]) -> "Pool":
        return self._with(of_events(kept))

    def _from_parts(self, parts: Sequence[UsagePart]) -> "Pool":
        return self._with(of_parts(parts))

    def total(self) -> CategoryUsage:
        """Return the usage as a total."""
        return CategoryUsage(self.quantity, self.first, self.last, self.events, self.maximum)

    def _with(self, use: CategoryUsage) -> "Pool":
        return replace(
            self,
            quantity=Decimal(use.quantity),
            events=use.events,
            maximum=Decimal(use.max_quantity),
            parts=use.parts,
            kept=use.kept,
            first=use.first_window,
            last=use.last_window,
        )

    def _lacks(self, reason: Lacking, what: str, given: Sequence[object]) -> NoReturn:
        told = f"the {what} given are not the {plain(self.quantity)} that were used"
        raise Missing(reason, told if given else f"{plain(self.quantity)} were used, and no {what} of it are given")


def pool(
    uses: Iterable[CategoryUsage],
    start: dt.datetime,
    end: dt.datetime,
    level: Decimal = ZERO,
    zone: dt.tzinfo = dt.UTC,
    whole: tuple[dt.datetime, dt.datetime] | None = None,
) -> Pool:
    """Return the usage of several categories in a period as one pool, in the order of time."""
    used = [use for use in uses if use.quantity or use.events or use.kept or use.parts]
    firsts = [use.first_window for use in used]
    lasts = [use.last_window for use in used]
    kept = sorted((event for use in used for event in use.kept), key=lambda event: event.at)
    parts = sorted((part for use in used for part in use.parts), key=lambda part: (part.start, part.dimensions))
    if any(bool(use.kept) != bool(kept) for use in used):
        kept = []  # the events of some are not all events
    if any(bool(use.parts) != bool(parts) for use in used):
        parts = []
    return Pool(
        start,
        end,
        end - start,
        zone,
        sum((Decimal(use.quantity) for use in used), ZERO),
        sum(use.events for use in used),
        max((Decimal(use.max_quantity) for use in used), default=ZERO),
        tuple(parts),
        tuple(kept),
        None if None in firsts else min((first for first in firsts if first), default=None),
        None if None in lasts else max((last for last in lasts if last), default=None),
        level,
        whole or (start, end),
    )


def of_events(kept: Iterable[KeptEvent]) -> CategoryUsage:
    """Return the usage that events in their order make."""
    events = tuple(kept)
    with exact():
        return CategoryUsage(
            sum((Decimal(event.quantity) for event in events), ZERO),
            min((event.at for event in events), default=None),
            max((event.at for event in events), default=None),
            len(events),
            max((Decimal(event.quantity) for event in events), default=ZERO),
            kept=events,
        )


def of_parts(parts: Iterable[UsagePart]) -> CategoryUsage:
    """Return the usage that parts make."""
    found = tuple(parts)
    with exact():
        return CategoryUsage(
            sum((Decimal(part.quantity) for part in found), ZERO),
            min((part.first_window or part.start for part in found), default=None),
            max((part.last_window or part.start for part in found), default=None),
            sum(part.events for part in found),
            max((Decimal(part.max_quantity) for part in found), default=ZERO),
            parts=found,
        )
