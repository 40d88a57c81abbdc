"""A period's usage with its parts and events, against sums in plain Python."""

import datetime as dt
import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from schemas.errors import SettingsError
from schemas.period import Period
from schemas.statements import CategoryUsage, KeptEvent, OrgUsage, UsagePart
from schemas.usage import Flush
from sinks.store import Store
from tally.rating import read_usage
from tally.usage_reading import read_detailed_usage
from tally.usage_sql import Need
from tests.store.samples import HOUR, MINUTE, NOON, K, R, flush, kept, progress

NOVEMBER = Period.month(2026, 11)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ZONES = ("UTC", "Asia/Kolkata", "America/New_York", "Europe/Vienna")


def moment(micros: int) -> dt.datetime:
    return EPOCH + dt.timedelta(microseconds=micros)


def with_kept(rows: Sequence[R], events: Sequence[K]) -> Flush:
    return replace(flush(*rows, at=progress()), kept=kept(events))


def rows_of(events: Iterable[K]) -> list[R]:
    """The usage rows of events, as the meter folds them: one window and dimensions a row."""
    rows: dict[tuple[int, str, int, str], R] = {}
    for event in events:
        start = event.at - event.at % MINUTE
        key = (event.org, event.category, start, event.dimensions)
        row = rows.get(
            key, R(event.org, event.category, start=start, quantity=0, events=0, dimensions=event.dimensions)
        )
        rows[key] = row._replace(quantity=row.quantity + event.quantity, events=row.events + 1)
    return list(rows.values())


def random_events(chance: random.Random, count: int) -> list[K]:
    # Around the ends of the month, and days on which a zone's clock is set.
    places = [-22 * 24 * HOUR + 12 * HOUR, 8 * 24 * HOUR + 12 * HOUR, -21 * 24 * HOUR - 6 * HOUR, 0]
    return [
        K(
            org=chance.choice([1, 2, 2**63 - 1]),
            category=chance.choice(["error", "seat", "pay"]),
            at=NOON + chance.choice(places) + chance.randrange(-90 * MINUTE, 90 * MINUTE),
            offset=number,
            quantity=chance.choice([0, 1, 7, 2**53]),
            value=chance.choice(["", '"a"', '"b"']),
            amount=chance.choice(["", "0.1", "12"]),
            dimensions=chance.choice(["", '{"region":"eu"}']),
        )
        for number in range(count)
    ]


def start_of(at: dt.datetime, need: Need, cuts: Sequence[dt.datetime]) -> dt.datetime:
    start = NOVEMBER.start
    if need.grain in {"window", "quarter"}:
        minutes = 1 if need.grain == "window" else 15
        start = at.replace(minute=at.minute // minutes * minutes, second=0, microsecond=0)
    elif need.grain != "total":
        local = at.astimezone(ZoneInfo(need.zone)).replace(minute=0, second=0, microsecond=0)
        start = (local if need.grain == "hour" else local.replace(hour=0)).astimezone(dt.UTC)
    return max([start, NOVEMBER.start, *(cut for cut in cuts if cut <= at)])


def expected(
    events: Sequence[K], needs: dict[str, Need], cuts: Sequence[dt.datetime]
) -> dict[int, dict[str, CategoryUsage]]:
    found: dict[int, dict[str, list[K]]] = {}
    for event in sorted(events, key=lambda event: (event.at, event.offset)):
        if NOVEMBER.start <= moment(event.at) < NOVEMBER.end:
            found.setdefault(event.org, {}).setdefault(event.category, []).append(event)
    return {
        org: {name: usage_of(some, needs.get(name, Need()), cuts) for name, some in sorted(categories.items())}
        for org, categories in sorted(found.items())
    }


def usage_of(events: list[K], need: Need, cuts: Sequence[dt.datetime]) -> CategoryUsage:
    parts: dict[tuple[dt.datetime, str], list[K]] = {}
    for event in events:
        dimensions = event.dimensions if need.dimensions else ""
        parts.setdefault((start_of(moment(event.at), need, cuts), dimensions), []).append(event)
    windows = [moment(event.at - event.at % MINUTE) for event in events]
    # A sample row's largest event is all of its quantity: what the store's rows hold is what is asked for.
    return CategoryUsage(
        sum(event.quantity for event in events),
        min(windows),
        max(windows),
        len(events),
        max(row.quantity for row in rows_of(events)),
        tuple(
            UsagePart(
                start,
                sum(event.quantity for event in some),
                len(some),
                max(row.quantity for row in rows_of(some)),
                dimensions,
                *(moment(at - at % MINUTE) for at in (some[0].at, some[-1].at)),
            )
            for (start, dimensions), some in sorted(parts.items())
        )
        if need.in_parts or cuts
        else (),
        tuple(
            KeptEvent(
                moment(event.at),
                event.quantity,
                event.value,
                Decimal(event.amount) if event.amount else None,
                event.dimensions,
            )
            for event in events
        )
        if need.events
        else (),
    )


def read(
    store: Store, needs: dict[str, Need], cuts: Sequence[dt.datetime] = (), org_id: int | None = None
) -> list[OrgUsage]:
    return list(read_detailed_usage(store, NOVEMBER, needs, cuts, org_id))


def test_parts_and_events_are_those_of_plain_sums(store: Store) -> None:
    chance = random.Random(20261126)
    events = random_events(chance, 150)
    store.write([with_kept(rows_of(events), [event for event in events if event.category != "error"])])
    grains = ("total", "window", "quarter", "hour", "day")
    for number, (grain, dimensions) in enumerate(itertools.product(grains, [False, True])):
        zone = ZONES[number % len(ZONES)]
        needs = {
            "error": Need(grain, dimensions, zone=zone),  # type: ignore[arg-type]  # a word of the closed set
            "seat": Need(grain, dimensions, events=True, zone=zone),  # type: ignore[arg-type]
            "pay": Need(events=chance.random() < 0.5),
        }
        cuts = [moment(NOON + chance.randrange(-10_000, 10_000) * MINUTE) for _ in range(number % 3)]
        found = {usage.org_id: dict(usage.categories) for usage in read(store, needs, cuts)}
        assert found == expected(events, needs, cuts)
        assert list(found) == sorted(found)
        one = read(store, needs, cuts, org_id=2)
        assert [(usage.org_id, dict(usage.categories)) for usage in one] == [(2, found[2])]


def test_without_needs_it_is_the_usage_that_totals_are_rated_from(store: Store) -> None:
    events = random_events(random.Random(3), 60)
    store.write([with_kept(rows_of(events), events)])
    for mine, theirs in zip(read(store, {}), read_usage(store, NOVEMBER), strict=True):
        assert (mine.org_id, mine.snapshot_id) == (theirs.org_id, theirs.snapshot_id)
        assert {name: use.quantity for name, use in mine.categories.items()} == {
            name: use.quantity for name, use in theirs.categories.items()
        }


def test_the_snapshot_names_what_was_read_however_it_was_cut(store: Store) -> None:
    events = random_events(random.Random(4), 60)
    store.write([with_kept(rows_of(events), events)])

    def ids(needs: dict[str, Need], cuts: Sequence[dt.datetime] = ()) -> list[str]:
        return [usage.snapshot_id for usage in read(store, needs, cuts)]

    totals, kept_too = ids({}), ids({"seat": Need(events=True)})
    assert ids({"seat": Need("window", True), "error": Need("day")}, [moment(NOON)]) == totals
    assert ids({"seat": Need("hour", True, events=True)}, [moment(NOON)]) == kept_too
    assert all(one != other for one, other in zip(totals, kept_too, strict=True))
    store.write([with_kept(rows_of(events), events)])
    assert ids({"seat": Need(events=True)}) == kept_too
    more = K(org=1, category="seat", at=NOON, offset=1000)
    store.write([with_kept([], [more])])
    changed = ids({"seat": Need(events=True)})
    assert (changed[0] != kept_too[0], changed[1:]) == (True, kept_too[1:])


def test_events_that_are_not_all_are_none(store: Store) -> None:
    """Since a while only the catalogue asks for them: what a price gets must never be a part of what was used."""
    events = [K(at=NOON + number * MINUTE, offset=number, quantity=number) for number in range(6)]
    store.write([with_kept(rows_of(events), events[2:])])
    (usage,) = read(store, {"seat": Need(events=True)})
    assert usage.categories["seat"] == usage_of(events, Need(), [])
    assert usage.categories["seat"].kept == ()


@pytest.mark.parametrize("grain", ["total", "window", "quarter", "hour", "day"])
def test_events_ahead_of_their_rows_make_one_usage(store: Store, grain: str) -> None:
    """A run has written the events of a flush and not yet its rows."""
    events = [K(at=NOON + number * 40 * MINUTE, offset=number, quantity=number + 1) for number in range(6)]
    store.write([with_kept(rows_of(events[:4]), events)])
    need = Need(grain, events=True)  # type: ignore[arg-type]  # a word of the closed set
    cuts = [moment(NOON + 45 * MINUTE)]
    (usage,) = read(store, {"seat": need}, cuts)
    assert usage.categories["seat"] == usage_of(events, need, cuts)
    other = [K(org=7, offset=50)]
    store.write([with_kept([], other)])
    assert [use.org_id for use in read(store, {"seat": need}, cuts)] == [1, 7]


def test_events_of_one_generation_do_not_stand_for_those_of_another(store: Store) -> None:
    """An older generation kept none; a run has written more events of the next one, and not yet its rows."""
    older = [K(at=NOON + number * MINUTE, offset=number, quantity=10) for number in range(2)]
    newer = [K(at=NOON + number * MINUTE, offset=2 + number, quantity=1) for number in range(3)]
    need = {"seat": Need("hour", events=True)}
    store.write([with_kept(rows_of(older), [])])
    before = read(store, need)
    next_one = progress(generation=2, start_offset=2)
    store.write([replace(flush(at=next_one), kept=kept(newer))])
    (usage,) = read(store, need)
    assert dict(usage.categories) == dict(before[0].categories)
    assert (usage.categories["seat"].quantity, usage.categories["seat"].kept) == (20, ())
    store.write([replace(flush(*rows_of(newer), at=next_one), kept=kept(newer))])
    (usage,) = read(store, need)
    assert (usage.categories["seat"].quantity, usage.categories["seat"].kept) == (23, ())


def test_a_zone_that_there_is_not(store: Store) -> None:
    for zone in ("Nowhere/At_all", "'", "../etc", ""):
        with pytest.raises(SettingsError, match="time zone"):
            read(store, {"seat": Need("hour", zone=zone)})
    assert read(store, {"seat": Need("total", zone="UTC")}) == []
