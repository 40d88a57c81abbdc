"""Faults planted in a real store, each found by the law that it breaks, and named with its place and size."""

import pytest

from schemas.differences import Law
from sinks.store import Store
from tests.reconcile.stores import LOG, alter, check, delete, differing, insert, named, only, rate

IN_LOG = f"topic = '{LOG.topic}' AND partition = '{LOG.partition}'"
PLACE = {"topic": LOG.topic, "partition": LOG.partition, "generation": 1}


NO_DUPLICATES = "duplicates = 0, events = events - duplicates, records = records - duplicates"
"""A topic's duplicates could explain what is missing of a minute: without any, that is a difference."""


def one_row(store: Store, where: str = "segment = 0") -> tuple[int, int, str]:
    """Return events, quantity and the condition of one usage row of the log."""
    found = store.query_rows(
        "SELECT *, toUnixTimestamp(window_start) AS start FROM usage_windows FINAL "
        f"WHERE {IN_LOG} AND {where} AND quantity > 0 ORDER BY ALL LIMIT 1"
    )[0]
    key = ("org_id", "category", "segment")
    same = " AND ".join(f"{name} = {found[name]!r}" for name in key)
    return found["events"], found["quantity"], f"{IN_LOG} AND {same} AND window_start = toDateTime({found['start']})"


def test_a_sound_store_has_no_differences(store: Store) -> None:
    found = check(store)
    assert named(found) == []
    assert [one.law for one in found.checked if not one.places] == ["kept", "generations", "ranges", "log"]
    assert not named(found, "in_flight")
    assert not named(found, "stale")


def test_a_usage_row_deleted(store: Store) -> None:
    events, quantity, row = one_row(store)
    alter(store, "progress", NO_DUPLICATES, "1")
    delete(store, "usage_windows", row)
    found = check(store)
    accepted = only(named(found, law="accepted"))
    assert (accepted.place, accepted.size) == (PLACE, -events)
    assert only(named(found, law="quantity")).size == -quantity
    # What was billed of it, and what its producer said of it, are not there any more.
    assert differing(found) == {"accepted", "quantity", "charges", "control"}
    assert only(named(found, law="charges")).size == quantity


def test_a_late_row_deleted(store: Store) -> None:
    events, _, row = one_row(store, "segment != 0")
    delete(store, "usage_windows", row)
    late = only(named(check(store), law="late"))
    assert (late.place, late.size) == (PLACE, -events)


@pytest.mark.parametrize("other", ["segment + 1000", "segment"])
def test_a_usage_row_doubled(store: Store, other: str) -> None:
    """As a row of another segment, or under the name of a partition of which there is no progress."""
    events, quantity, row = one_row(store)
    partition = "partition" if other != "segment" else "'nowhere'"
    insert(store, "usage_windows", f"{other} AS segment, {partition} AS partition", row)
    found = check(store)
    accepted = only(named(found, law="accepted"))
    assert accepted.size == events
    assert accepted.place == (PLACE if other != "segment" else {**PLACE, "partition": "nowhere"})
    assert only(named(found, law="quantity")).size == quantity
    assert differing(found) >= {"accepted", "quantity", "control"}


@pytest.mark.parametrize(("column", "law"), [("quantity", "quantity"), ("events", "accepted")])
@pytest.mark.parametrize("by", [1, -1])
def test_a_usage_row_altered_by_one(store: Store, column: str, law: Law, by: int) -> None:
    _, _, row = one_row(store)
    alter(store, "progress", NO_DUPLICATES, "1")
    alter(store, "usage_windows", f"{column} = {column} + {by}", row)
    found = check(store)
    difference = only(named(found, law=law))
    assert (difference.place, difference.size) == (PLACE, by)
    control = only(named(found, law="control"))
    assert (control.place["column"], control.size) == (column, by)
    if column == "quantity":
        # The statement was made of the very rows that are there: growth cannot explain it.
        assert only(named(found, law="charges")).size == -by


def test_an_event_moved_to_another_organisation(store: Store) -> None:
    """Totals agree; the statements do not."""
    _, _, row = one_row(store)
    insert(store, "usage_windows", "org_id + 50 AS org_id", row)
    delete(store, "usage_windows", row)
    assert differing(check(store)) == {"charges"}


def test_a_dead_letter_removed(store: Store) -> None:
    offset, index, reason = store.query(f"SELECT offset, index, reason FROM dead_letters WHERE {IN_LOG} LIMIT 1")[0]
    delete(store, "dead_letters", f"{IN_LOG} AND offset = {offset} AND index = {index}")
    found = check(store)
    assert differing(found) == {"rejected"}
    rejected = only(named(found))
    assert (rejected.place, rejected.size) == ({**PLACE, "reason": reason}, -1)


@pytest.mark.parametrize(
    ("change", "laws"),
    [
        ("events = events + 1", {"events"}),
        ("accepted = accepted - 1", {"events", "accepted"}),
        ("duplicates = duplicates + 1", {"events"}),
        ("late = late + 1", {"late"}),
        ("quantity = quantity - 1", {"quantity"}),
        ("records = next_offset + 1", {"records"}),
        ("rejected = mapAdd(rejected, map('not_json', toUInt64(1)))", {"events", "rejected"}),
    ],
)
def test_a_progress_count_altered(store: Store, change: str, laws: set[Law]) -> None:
    alter(store, "progress", change, IN_LOG)
    found = check(store)
    assert differing(found) == laws
    for finding in named(found):
        assert finding.place.items() >= PLACE.items()
        assert abs(finding.size or 0) == 1


def of_line(column: str, change: str) -> str:
    """Change a column of a statement's second line."""
    of = f"`lines.{column}`"
    return f"{of} = arrayMap((x, i) -> if(i = 2, {change}, x), {of}, arrayEnumerate({of}))"


@pytest.mark.parametrize(
    ("change", "laws"),
    [
        (of_line("amount", "x + toDecimal128('0.01', 18)"), {"lines", "totals"}),
        (of_line("quantity", "x + 1"), {"lines"}),
        (of_line("detail", r"""replaceRegexpOne(x, '("quantity":")\\d(\\d*","first)', '\\17\\2')"""), {"charges"}),
        (of_line("detail", 'replaceOne(x, \'"exact":"\', \'"exact":"1\')'), {"lines"}),
        ("total = total - toDecimal128('0.01', 18)", {"totals"}),
    ],
)
def test_a_statement_altered(store: Store, change: str, laws: set[Law]) -> None:
    alter(store, "statements", change, "org_id = 42")
    found = check(store)
    assert differing(found) == laws
    for finding in named(found):
        assert finding.place["org_id"] == 42
        if laws == {"totals"}:
            assert str(finding.size) == "-0.010000000000000000"


@pytest.mark.parametrize(
    ("change", "laws"),
    [
        (of_line("amount", "x + toDecimal128('0.01', 18)"), {"lines", "totals"}),
        ("total = total - toDecimal128('0.01', 18)", {"totals", "interims"}),
        ("billed = mapApply((c, x) -> (c, x + toDecimal128('0.01', 18)), billed)", {"totals"}),
    ],
)
def test_an_interim_statement_altered(store: Store, change: str, laws: set[Law]) -> None:
    alter(store, "interim_statements", change, "org_id = 1")
    found = check(store)
    assert differing(found) == laws
    for finding in named(found):
        assert finding.place["org_id"] == 1
        assert (finding.law == "interims") or finding.place["interim"] == 1


def test_an_interim_statement_removed_or_billed_twice(store: Store) -> None:
    [(total,)] = store.query("SELECT total FROM interim_statements FINAL")
    insert(store, "interim_statements", "2 AS number", "number = 1")
    twice = only(named(check(store)))
    assert (twice.law, twice.place["org_id"], twice.left, twice.right) == ("interims", 1, 2 * total, total)
    delete(store, "interim_statements", "number = 2")
    assert not named(check(store))
    store.command("TRUNCATE TABLE interim_statements")
    gone = only(named(check(store)))
    assert (gone.law, gone.left, gone.right) == ("interims", 0, total)


def test_a_statement_that_takes_off_less_than_was_billed(store: Store) -> None:
    last = "arrayMap((x, i) -> if(i = length(lines.amount), x + toDecimal128('1', 18), x), lines.amount, "
    alter(store, "statements", f"`lines.amount` = {last} arrayEnumerate(lines.amount))", "org_id = 1")
    found = check(store)
    assert differing(found) == {"lines", "totals", "interims"}
    assert only(named(found, law="interims")).size == -1


@pytest.mark.parametrize("how", ["written since", "without a statement"])
def test_an_interim_statement_that_nothing_takes_off_yet_is_stale(store: Store, how: str) -> None:
    """What a rating leaves that was stopped between its two writes."""
    if how == "without a statement":
        delete(store, "statements", "org_id = 1")
    else:
        insert(store, "interim_statements", "2 AS number, rated_at + toIntervalSecond(1) AS rated_at", "number = 1")
    found = check(store)
    assert not named(found)
    assert only(named(found, "stale")).law == "interims"
    rate(store)
    found = check(store)
    assert not named(found)
    assert not named(found, "stale")


def test_usage_that_grew_after_rating_is_stale_until_it_is_rated_again(store: Store) -> None:
    _, _, row = one_row(store)
    insert(store, "usage_windows", "quantity + 5 AS quantity, last_offset + 1000000 AS last_offset", row)
    insert(store, "progress", "next_offset + 2000000 AS next_offset, quantity + 5 AS quantity", IN_LOG)
    found = check(store)
    assert differing(found) == {"control"}  # its producer did not report it
    stale = only(named(found, "stale"))
    assert (stale.law, stale.size) == ("charges", -5)
    rate(store)
    assert not named(check(store), "stale")


def test_a_replayed_letter_without_its_row(store: Store) -> None:
    partition = store.query("SELECT partition FROM usage_windows WHERE topic = 'replay:in' LIMIT 1")[0][0]
    delete(store, "usage_windows", f"topic = 'replay:in' AND partition = '{partition}'")
    found = check(store)
    assert "replays" in differing(found)
    assert only(named(found, law="replays")).place == {"topic": "replay:in", "partition": partition}


def test_a_row_of_a_replay_that_is_not_recorded(store: Store) -> None:
    topic, partition, offset, index = store.query("SELECT topic, partition, offset, index FROM replays LIMIT 1")[0]
    delete(store, "replays", f"partition = '{partition}' AND offset = {offset} AND index = {index}")
    found = check(store)
    assert differing(found) == {"replays"}
    assert only(named(found)).place == {"topic": f"replay:{topic}", "partition": f"{partition}/{offset}/{index}"}


def test_a_replay_that_was_interrupted_is_in_flight(store: Store) -> None:
    partition = store.query("SELECT min(partition) FROM usage_windows WHERE topic = 'replay:in'")[0][0]
    log, offset, index = partition.rsplit("/", 2)
    alter(store, "replays", "outcome = 'counting'", f"partition = '{log}' AND offset = {offset} AND index = {index}")
    found = check(store)
    assert not named(found)
    assert only(named(found, "in_flight")).law == "replays"


@pytest.mark.parametrize("by", [1, -1])
@pytest.mark.parametrize("column", ["events", "quantity"])
def test_a_control_total_off_by_one(store: Store, by: int, column: str) -> None:
    alter(store, "progress", NO_DUPLICATES, "1")
    minute, category = store.query(
        "SELECT toUnixTimestamp(minute), category FROM control_totals WHERE events > 1 LIMIT 1"
    )[0]
    alter(
        store,
        "control_totals",
        f"{column} = {column} + {by}",
        f"minute = toDateTime({minute}) AND category = '{category}'",
    )
    found = check(store)
    assert differing(found) == {"control"}
    control = only(named(found))
    assert (control.place["category"], control.place["column"], control.size) == (category, column, -by)
