"""Replaying dead letters: once is enough, wherever it stops, whoever else does it at the same time."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.metering import MeterSettings
from schemas.usage import DeadLetter
from schemas.verdicts import MAX_RAW_BYTES
from sinks.store import Store, open_store
from tally import deadletters
from tally.deadletters import Selection
from tally.positions import find_position
from tally.replay import Terms, replay
from tests.queries.conftest import clear
from tests.queries.letters import CATALOGUE, SETTINGS, TERMS, event, keep, kept, letter, rows, total
from tests.store.samples import HOUR, MINUTE, NOON, SECOND, count, flush, progress

DAY = 24 * HOUR
EVERYTHING = Selection()


def outcomes(store: Store, selection: Selection = EVERYTHING, terms: Terms = TERMS) -> dict[str, str]:
    """Replay; return what became of each letter, by position without the topic."""
    return {str(one.position).partition("/")[2]: one.outcome for one in replay(store, selection, terms)}


def selected(store: Store, *texts: str) -> Selection:
    return Selection(tuple(find_position(store, text) for text in texts))


# ---- what becomes of a letter ----


def test_a_letter_becomes_a_usage_row_of_its_own(store: Store) -> None:
    keep(store, [letter(40, at=NOON + 90 * SECOND, quantity=5)])
    assert outcomes(store) == {"0/40/0": "counted"}
    assert total(store) == (5, 1)
    columns = (
        "org_id, category, project_id, dimensions, topic, partition, generation, segment, "
        "quantity, events, max_quantity, first_offset, last_offset"
    )
    assert store.query(f"SELECT {columns} FROM usage_windows FINAL") == [
        (1, "widget", 0, "", "replay:events", "0/40/0", 1, 0, 5, 1, 5, 40, 40)
    ]
    times = "toUnixTimestamp(window_start), toUnixTimestamp64Micro(first_timestamp)"
    assert store.query(f"SELECT {times} FROM usage_windows") == [((NOON + MINUTE) // SECOND, NOON + 90 * SECOND)]
    assert kept(store) == [("events", "0", 40, 0, "counted", NOON, "ada@host")]


def test_letters_never_share_a_row(store: Store) -> None:
    """Same organisation, category and window; partitions and offsets that run into each other when written down."""
    keep(store, [letter(1, index=2, event_id="a"), letter(12, event_id="b")], "events/1")
    keep(store, [letter(2, event_id="c")], "events/1/1")
    keep(store, [letter(1, index=2, event_id="d")], "other/1")
    outcomes(store)
    assert count(store, "usage_windows") == 4
    assert total(store) == (12, 4)


def test_grouping_is_todays(store: Store) -> None:
    keep(store, [letter(1, attributes={"region": "eu"})])
    grouped = replace(SETTINGS, group_by_project=True, group_by=("region",), window=15 * MINUTE)
    outcomes(store, terms=replace(TERMS, settings=grouped))
    assert store.query("SELECT project_id, dimensions FROM usage") == [(7, '{"region":"eu"}')]


def test_every_outcome(store: Store) -> None:
    huge = letter(9, raw=b"x" * MAX_RAW_BYTES)
    keep(
        store,
        [
            letter(1, event_id="a"),
            letter(2, event_id="a", quantity=9),
            letter(3, event_id="a", org_id=2),
            letter(4, raw=b"{"),
            letter(5, category="gadget"),
            letter(6, "conflicting_duplicate", event_id="b"),
            letter(7, "too_old", event_id="c"),
            letter(8, "from_the_future", event_id="d"),
            replace(huge, raw_size=MAX_RAW_BYTES + 1),
            letter(10, raw=json.dumps([event(event_id="x"), event(event_id="y")]).encode()),
            letter(11, "overflow", event_id="f", quantity=2**53),
        ],
    )
    first = outcomes(store)
    assert first == {
        "0/1/0": "counted",
        "0/2/0": "duplicate",
        "0/3/0": "counted",
        "0/4/0": "rejected",
        "0/5/0": "rejected",
        "0/6/0": "needs_accept",
        "0/7/0": "needs_accept",
        "0/8/0": "counted",
        "0/9/0": "cut",
        "0/10/0": "rejected",
        "0/11/0": "counted",
    }
    assert total(store) == (3 + 3 + 3 + 2**53, 4)
    assert [row[2:5] for row in kept(store)] == [
        (1, 0, "counted"),
        (2, 0, "duplicate"),
        (3, 0, "counted"),
        (8, 0, "counted"),
        (11, 0, "counted"),
    ]
    accepted = outcomes(store, terms=replace(TERMS, accept=True))
    assert {place for place in accepted if accepted[place] != first[place]} == {
        "0/1/0", "0/3/0", "0/6/0", "0/7/0", "0/8/0", "0/11/0"
    }  # fmt: skip
    assert (accepted["0/6/0"], accepted["0/7/0"], accepted["0/1/0"]) == ("counted", "counted", "already_replayed")
    assert total(store) == (3 * 5 + 2**53, 6)


def test_not_billable_is_an_outcome_and_a_format_is_the_letters_own(store: Store) -> None:
    outcome = {
        "org_id": 1,
        "project_id": 2,
        "outcome": 1,
        "category": 1,
        "quantity": 1,
        "timestamp": event()["timestamp"],
    }
    sentry = json.dumps(outcome).encode()
    store.write([replace(flush(at=progress(), letters=[letter(1, raw=sentry)]), format="sentry-outcomes")])
    assert outcomes(store, terms=replace(TERMS, own_format=False, dry_run=True)) == {"0/1/0": "rejected"}
    assert outcomes(store) == {"0/1/0": "not_billable"}
    assert total(store) == (0, 0)
    assert [row[4] for row in kept(store)] == ["not_billable"]


def test_an_event_that_was_never_checked_for_age_needs_accepting_where_its_log_has_a_clock(store: Store) -> None:
    """An unknown category is asked before the age: the letter may be old as well."""
    old = replace(letter(1, at=NOON - 91 * DAY), clock=NOON)
    keep(store, [old], "file/a")
    keep(store, [old], "topic/0", source={"uri": "kafka://h:1/topic", "topic_id": "x"})
    assert outcomes(store, Selection(topic="topic")) == {"0/1/0": "needs_accept"}
    assert outcomes(store, Selection(topic="file")) == {"a/1/0": "counted"}
    keep(store, [replace(old, offset=2, raw=old.raw.replace(b"e1", b"e2"))], "file/a")
    as_of = replace(TERMS, settings=replace(SETTINGS, as_of=NOON))
    assert outcomes(store, Selection(topic="file"), as_of)["a/2/0"] == "needs_accept"


def test_selectors(store: Store) -> None:
    keep(store, [letter(1, event_id="a"), letter(1, index=1, event_id="b"), letter(2, "bad_quantity", event_id="c")])
    keep(store, [letter(1, event_id="d")], "events/a/5")
    dry = replace(TERMS, dry_run=True)
    assert list(outcomes(store, selected(store, "events/0/1"), dry)) == ["0/1/0", "0/1/1"]
    assert list(outcomes(store, selected(store, "events/0/1/1", "events/a/5/1"), dry)) == ["0/1/1", "a/5/1/0"]
    assert list(outcomes(store, Selection(partition="a/5"), dry)) == ["a/5/1/0"]
    assert list(outcomes(store, Selection(reasons=("bad_quantity",)), dry)) == ["0/2/0"]
    assert list(outcomes(store, Selection(topic="nothing"), dry)) == []


def test_a_dry_run_writes_nothing_and_says_what_a_run_then_does(store: Store) -> None:
    keep(store, [letter(1, event_id="a"), letter(2, event_id="a"), letter(3, raw=b"[]")])
    foreseen = outcomes(store, terms=replace(TERMS, dry_run=True))
    assert (count(store, "usage_windows"), count(store, "replays")) == (0, 0)
    assert outcomes(store) == foreseen


def test_pages_are_bounded_and_no_letter_is_missed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [letter(n // 2, index=n % 2, event_id=f"{n}", source="x" * (n % 7) * 100) for n in range(60)]
    keep(store, many, "events/a")
    keep(store, many[:9], "events/b")
    monkeypatch.setattr(deadletters, "PAGE_LETTERS", 10)
    monkeypatch.setattr(deadletters, "PAGE_BYTES", 3_000)
    pages = list(deadletters.read_pages(store, EVERYTHING, raw=True))
    assert [(found.log.partition, found.raw) for page in pages for found in page] == [
        *(("a", one.raw) for one in many),
        *(("b", one.raw) for one in many[:9]),
    ]
    assert max(len(page) for page in pages) <= 10
    assert max(sum(len(found.raw) for found in page[:-1]) for page in pages) < 3_000
    assert len(pages) > 7
    assert Counter(outcomes(store).values()) == {"counted": 60, "duplicate": 9}


# ---- twice, interrupted, at once ----

ids = st.sampled_from(["a", "b", "c"])
letters = st.lists(
    st.builds(
        lambda offset, index, event_id, org, category, reason, day, quantity: letter(
            offset,
            reason,
            index,
            event_id=event_id,
            org_id=org,
            category=category,
            at=NOON + day * DAY,
            quantity=quantity,
        ),
        st.integers(0, 12),
        st.integers(0, 1),
        ids,
        st.integers(1, 2),
        st.sampled_from(["error", "widget", "widget", "gadget"]),
        st.sampled_from(["unknown_category", "conflicting_duplicate", "too_old", "bad_timestamp"]),
        st.integers(-40, 0),
        st.sampled_from([0, 1, 5, 2**53]),
    ),
    max_size=12,
    unique_by=lambda one: (one.offset, one.index),
)


def oracle(given: Sequence[DeadLetter], calls: Sequence[bool]) -> Counter[int]:
    """Return the quantity counted by organisation after replays, each with or without accepting: letter by letter."""
    counted: dict[tuple[int, int], Any] = {}
    for accept in calls:
        for one in sorted(given, key=lambda found: (found.offset, found.index)):
            found = json.loads(one.raw)
            ids_counted = {(other["org_id"], other["event_id"]) for other in counted.values()}
            if (
                found["category"] != "gadget"
                and (accept or one.reason not in {"conflicting_duplicate", "too_old"})
                and (found["org_id"], found["event_id"]) not in ids_counted
            ):
                counted[one.offset, one.index] = found
    quantities: Counter[int] = Counter()
    for found in counted.values():
        quantities[found["org_id"]] += found["quantity"]
    return +quantities


def by_org(store: Store) -> Counter[int]:
    return +Counter(dict(store.query("SELECT org_id, sum(quantity) FROM usage GROUP BY org_id")))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=letters, calls=st.lists(st.booleans(), min_size=1, max_size=3))
def test_any_replays_count_what_the_oracle_counts_and_once_more_changes_nothing(
    store: Store, given: list[DeadLetter], calls: list[bool]
) -> None:
    clear(store)
    keep(store, given)
    for accept in calls:
        outcomes(store, terms=replace(TERMS, accept=accept))
    assert by_org(store) == oracle(given, calls)
    before = (rows(store), kept(store))
    outcomes(store, terms=replace(TERMS, accept=calls[-1], now=NOON + DAY, by="eve@host"))
    assert (rows(store), kept(store)) == before


class Crash(Exception):
    """The process ends here."""


Hook = Callable[[int], None]


def at_each_insert(store: Store, monkeypatch: pytest.MonkeyPatch, before: Hook, after: Hook) -> None:
    """Call `before` and `after` around the n-th insert of this store."""
    insert, numbers = store._insert, itertools.count()

    def watched(name: str, table: Any) -> None:
        if not table.num_rows:
            return
        number = next(numbers)
        before(number)
        insert(name, table)
        after(number)

    monkeypatch.setattr(store, "_insert", watched)


TROUBLE = [
    letter(1, event_id="a"),
    letter(2, event_id="b", at=NOON - 40 * DAY),
    letter(3, event_id="a", quantity=100),
    letter(4, event_id="c", category="error", quantity=2**53),
    letter(5, raw=b"nothing"),
]


def crash_at(store: Store, monkeypatch: pytest.MonkeyPatch, point: int, *, done: bool, terms: Terms = TERMS) -> bool:
    """Replay with a crash before or after the n-th insert; return whether it got that far."""

    def crash(number: int) -> None:
        if number == point:
            raise Crash

    def pass_by(number: int) -> None:
        del number

    with monkeypatch.context() as patch:
        at_each_insert(store, patch, pass_by if done else crash, crash if done else pass_by)
        try:
            outcomes(store, terms=terms)
        except Crash:
            return True
    return False


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("point", range(4))
def test_a_crash_anywhere_is_healed_by_replaying_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, point: int, done: bool
) -> None:
    keep(store, TROUBLE)
    outcomes(store)
    undisturbed = (rows(store), [row[:5] for row in kept(store)])
    clear(store)
    keep(store, TROUBLE)
    assert crash_at(store, monkeypatch, point, done=done), "the replay has fewer inserts than the test thinks"
    outcomes(store)
    assert (rows(store), [row[:5] for row in kept(store)]) == undisturbed


def test_the_crashes_reach_every_insert(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(store, TROUBLE)
    assert not crash_at(store, monkeypatch, 4, done=False)


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("point", range(4))
def test_after_a_crash_other_settings_do_not_count_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch, point: int, done: bool
) -> None:
    """The row that was meant stands, though today's settings would make another key of it; and so does its id."""
    keep(store, TROUBLE)
    crash_at(store, monkeypatch, point, done=done)
    wider = replace(TERMS, settings=replace(SETTINGS, window=15 * MINUTE, group_by_project=True))
    outcomes(store, selected(store, "events/0/3"), wider)
    outcomes(store, terms=wider)
    # Letters 1 and 3 share an id: one of the two was counted, whichever the crash let be first.
    assert by_org(store)[1] - 3 - 2**53 in {3, 100}
    assert total(store)[1] == 3


@pytest.mark.parametrize("other", ["the same", "its duplicate"])
@pytest.mark.parametrize("point", range(4))
@pytest.mark.parametrize("done", [False, True])
def test_two_replays_at_once_count_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, point: int, done: bool, other: str
) -> None:
    """A whole second replay happens before or after any insert of the first."""
    keep(store, TROUBLE)
    second = Selection() if other == "the same" else selected(store, "events/0/3")

    def meanwhile(number: int) -> None:
        if number == point:
            with open_store(store.url) as another:
                list(replay(another, second, replace(TERMS, by="eve@host", now=NOON + 1)))

    def pass_by(number: int) -> None:
        del number

    with monkeypatch.context() as patch:
        at_each_insert(store, patch, pass_by if done else meanwhile, meanwhile if done else pass_by)
        outcomes(store)
    assert total(store)[1] == 3
    assert by_org(store)[1] - 3 - 2**53 in {3, 100}
    before = rows(store)
    outcomes(store)
    assert rows(store) == before


def test_another_content_at_the_same_position_is_another_event(store: Store) -> None:
    """A file that was changed and metered again, with a letter at the same byte."""
    keep(store, [letter(1, event_id="a")], "file/x")
    assert outcomes(store) == {"x/1/0": "counted"}
    keep(store, [letter(1, event_id="b", quantity=50)], "file/x", generation=2)
    assert outcomes(store) == {"x/1/0": "counted"}
    assert total(store) == (53, 2)


def test_a_category_that_is_still_unknown_stays_a_letter_until_it_is_known(store: Store) -> None:
    keep(store, [letter(1)])
    narrow: MeterSettings = replace(SETTINGS, catalogue=CATALOGUE)
    assert outcomes(store, terms=replace(TERMS, settings=narrow)) == {"0/1/0": "rejected"}
    assert kept(store) == []
    assert outcomes(store) == {"0/1/0": "counted"}
