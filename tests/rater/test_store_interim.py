"""Interim statements in a real store: written once, taken off once, whatever crashes and changes come between."""

import datetime as dt
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rater.book import Contracts, PriceBook
from schemas.statements import Rating
from schemas.usage import Flush
from sinks.store import Store, open_store
from tally.interims import read_interims, write_due
from tally.packed_rows import write_rows
from tally.rated import Prices, Rated
from tally.rating import Known, rate_period, read_known
from tally.rating_failures import write_failures
from tally.rating_pass import Asked, begin_pass
from tally.statement_store import Outcome, StatementStore
from tests.rater.books import NOVEMBER, book, contract, contracts
from tests.store.samples import NOON, R, progress, usage

ERRORS = {"errors": {"category": "error", "price": {"model": "per_unit", "unit_amount": "0.1"}}}
FEE = {"base": {"price": {"model": "flat", "amount": "31"}}}
BOOK = book({**ERRORS, **FEE})
AGREED = contracts(contract(1, invoice_thresholds={"amounts": [100], "then_every": 100}))
EVERYONE = contracts(contract(invoice_thresholds={"amounts": [100], "then_every": 100}))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"chdb:{tmp_path / 'store'}") as opened:
        opened.migrate()
        yield opened


def use(store: Store, quantity: int, read: int, org: int = 1, *, complete: bool = False) -> None:
    """The organisation's usage so far, after so much of the log was read."""
    found = progress(next_offset=read, log_end=read, log_end_seen_at=NOON, finite=complete)
    store.write([Flush(found, "tally", usage([R(org, quantity=quantity, last=read - 1)]), ())])


def rate(
    store: Store,
    prices: PriceBook = BOOK,
    agreed: Contracts = AGREED,
    *,
    processes: int = 1,
    at: int = NOON,
    **asked: Any,
) -> Outcome:
    going = begin_pass(store, Prices(prices, agreed), Asked(NOVEMBER, processes=processes, **asked), rated_at=at)
    list(going.ratings)
    return going.answer.outcome


def interims(store: Store) -> list[tuple[int, str, Decimal]]:
    return store.query(
        "SELECT number, contract, total FROM interim_statements FINAL ORDER BY period_start, contract, number"
    )


def closing(store: Store) -> dict[str, Decimal]:
    """The lines of the one statement that has any, by description."""
    [row] = store.query_rows("SELECT * FROM statements FINAL WHERE notEmpty(`lines.line_no`)")
    assert row["total"] == sum(row["lines.amount"])
    return dict(zip(row["lines.description"], row["lines.amount"], strict=True))


def everything(store: Store) -> list[Any]:
    return [store.query(f"SELECT * FROM {table} FINAL ORDER BY ALL") for table in ("statements", "interim_statements")]


def truth(store: Store, prices: PriceBook = BOOK, agreed: Contracts = AGREED) -> Decimal:
    """What the period costs, by a rating that knows of no interim statement."""
    [found] = [rated for rated in _without(store, prices, agreed) if rated.statement is not None]
    assert found.statement is not None
    return sum((line.amount for line in found.statement.lines if line.kind != "already_invoiced"), Decimal(0))


def _without(store: Store, prices: PriceBook, agreed: Contracts) -> Iterator[Rating]:
    return rate_period(store, prices, agreed, NOVEMBER)


def billed(store: Store) -> Decimal:
    """All that the period's statements, interim and its own, have billed."""
    [(early,)] = store.query("SELECT sum(total) FROM interim_statements FINAL")
    [(own,)] = store.query("SELECT sum(total) FROM statements FINAL")
    return Decimal(early) + Decimal(own)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_threshold_is_billed_once_and_comes_off(store: Store, processes: int) -> None:
    use(store, 999, read=10)
    assert rate(store, processes=processes) == Outcome(written=1)
    use(store, 1_200, read=20)
    assert rate(store, processes=processes) == Outcome(written=1, interims=1)
    assert interims(store) == [(1, "contract", Decimal(120))]
    assert closing(store) == {"errors": Decimal(120), "base": Decimal(31), "Already invoiced": Decimal(-120)}
    [row] = store.query_rows("SELECT * FROM interim_statements FINAL")
    assert (row["threshold"], row["billed"], row["version"]) == (100, {"errors": Decimal(120)}, (1 << 64) + 20)
    before = everything(store)
    assert rate(store, processes=processes, at=NOON + 1) == Outcome(unchanged=1)
    assert everything(store) == before
    use(store, 3_500, read=30)
    assert rate(store, processes=processes) == Outcome(written=1, interims=1)
    assert interims(store) == [(1, "contract", Decimal(120)), (2, "contract", Decimal(230))]
    use(store, 3_550, read=40, complete=True)
    assert rate(store, processes=processes) == Outcome(written=1)
    assert closing(store)["Already invoiced"] == -350
    assert billed(store) == truth(store) == Decimal("386.00")


def test_the_closing_statement_names_them(store: Store) -> None:
    for read, quantity in ((10, 1_200), (20, 2_300)):
        use(store, quantity, read=read)
        rate(store)
    [(detail,)] = store.query("SELECT detail FROM charges WHERE description = 'Already invoiced'")
    assert '"explanation":"interim statement 1: -120; interim statement 2: -110"' in detail
    charges = store.query("SELECT number, description, amount FROM interim_charges ORDER BY number, line_no")
    assert charges == [(1, "errors", 120), (2, "errors", 230), (2, "Already invoiced", -120)]


def test_a_period_that_is_complete_is_billed_by_its_own_statement_alone(store: Store) -> None:
    use(store, 5_000, read=10, complete=True)
    assert rate(store) == Outcome(written=1)
    assert interims(store) == []
    assert closing(store) == {"errors": Decimal(500), "base": Decimal(31)}


def test_a_correction_below_what_was_billed_is_credited(store: Store) -> None:
    use(store, 1_200, read=10)
    rate(store)
    use(store, 500, read=20)
    assert rate(store) == Outcome(written=1)
    assert closing(store) == {"errors": Decimal(50), "base": Decimal(31), "Already invoiced": Decimal(-120)}
    use(store, 1_100, read=30)  # the threshold was billed for
    assert rate(store) == Outcome(written=1)
    assert billed(store) == truth(store) == 141


def test_usage_that_was_taken_back_whole_is_credited_also_to_those_without_a_contract_of_their_own(
    store: Store,
) -> None:
    prices = book(ERRORS)
    use(store, 1_200, read=10, org=7)
    rate(store, prices, EVERYONE)
    store.command("TRUNCATE TABLE usage_windows")
    assert rate(store, prices, EVERYONE) == Outcome(written=1, interims=0)
    assert closing(store) == {"Already invoiced": Decimal(-120)}
    assert billed(store) == 0


def test_a_crash_between_the_two_writes_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stop

    use(store, 1_200, read=10)
    with monkeypatch.context() as patched:
        patched.setattr("tally.statement_store.write_rows", stop)
        with pytest.raises(Stop):
            rate(store)
    assert (interims(store), store.query("SELECT * FROM statements")) == ([(1, "contract", Decimal(120))], [])
    assert rate(store, at=NOON + 5) == Outcome(written=1)
    crashed = everything(store)
    for table in ("statements", "interim_statements"):
        store.command(f"TRUNCATE TABLE {table}")
    rate(store)
    rate(store)
    told = [[[value for value in row if not isinstance(value, dt.datetime)] for row in rows] for rows in crashed]
    assert told == [[[v for v in row if not isinstance(v, dt.datetime)] for row in rows] for rows in everything(store)]


def begun(store: Store, known: Known | None = None) -> tuple[StatementStore, list[Rated]]:
    """A rating that has looked and rated, and not written yet."""
    going = StatementStore(store, BOOK, known or read_known(store), NOON)
    every = Asked(NOVEMBER, again=True)
    taken: list[Rated] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(StatementStore, "keep", lambda _, rated: taken.append(rated))
        if known is not None:
            patched.setattr("tally.rating_pass.read_known", lambda _: known)
        list(begin_pass(store, Prices(BOOK, AGREED), every, rated_at=NOON).ratings)
    return going, taken


def finished(going: tuple[StatementStore, list[Rated]]) -> Outcome:
    with going[0] as statements:
        for rated in going[1]:
            statements.keep(rated)
    return going[0].outcome


@pytest.mark.parametrize("first_knows_less", [True, False])
def test_two_ratings_at_once_bill_a_threshold_once(store: Store, first_knows_less: bool) -> None:
    use(store, 1_200, read=10)
    less = begun(store)
    use(store, 1_400, read=20)
    more = begun(store)
    assert all(taken[0].interim is not None for _, taken in (less, more))
    first, second = (less, more) if first_knows_less else (more, less)
    assert finished(first) == Outcome(written=1, interims=1)
    before = everything(store)
    # The second one finds a row that it was not made with, and keeps nothing: nothing that was said is unsaid.
    late = Outcome(overtaken=1) if first_knows_less else Outcome(superseded=1)
    assert finished(second) == late
    assert everything(store) == before
    assert rate(store).interims == 0
    assert len(interims(store)) == 1
    assert billed(store) == truth(store) == 171


def test_a_rating_that_was_slow_does_not_replace_what_was_said_meanwhile(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knew less, so its row would stay; but it looks first. The other one had not even got to its statement."""

    def stop(*_: object) -> None:
        raise InterruptedError

    use(store, 1_200, read=10)
    slow = begun(store)
    use(store, 1_400, read=20)
    with monkeypatch.context() as patched:
        patched.setattr("tally.statement_store.write_rows", stop)
        with pytest.raises(InterruptedError):
            rate(store)
    said = [(1, "contract", Decimal(140))]
    assert interims(store) == said
    assert finished(slow) == Outcome(overtaken=1)
    assert interims(store) == said
    rate(store)
    assert (interims(store), billed(store)) == (said, truth(store))


@pytest.mark.parametrize("outer_knows_less", [True, False])
def test_two_ratings_that_both_look_before_either_writes_leave_one_row(
    store: Store, monkeypatch: pytest.MonkeyPatch, outer_knows_less: bool
) -> None:
    """The moment that no look can close: one row stays, the one that knew less, and the next rating reads it."""
    use(store, 1_200, read=10)
    less = begun(store)
    use(store, 1_400, read=20)
    more = begun(store)
    outer, inner = (less, more) if outer_knows_less else (more, less)
    looks = 0

    def look(*given: Any) -> Any:
        nonlocal looks
        looks += 1
        found = read_interims(*given)
        if looks == 1:  # the other one writes all it has between this look and what is written after it
            with pytest.MonkeyPatch.context() as unpatched:
                unpatched.setattr("tally.interims.read_interims", read_interims)
                finished(inner)
        return found

    monkeypatch.setattr("tally.interims.read_interims", look)
    found = finished(outer)
    monkeypatch.undo()
    assert found.overtaken == (not outer_knows_less)
    assert interims(store) == [(1, "contract", Decimal(120))]
    rate(store)
    assert interims(store) == [(1, "contract", Decimal(120))]
    assert closing(store)["Already invoiced"] == -120
    assert billed(store) == truth(store) == 171


def test_an_interim_statement_of_another_contract_comes_off_by_name(store: Store) -> None:
    use(store, 1_200, read=10)
    rate(store)
    others = book({"hits": {"category": "error", "price": {"model": "per_unit", "unit_amount": "0.05"}}}, revision=2)
    agreed = contracts(contract(1, id="own"))
    assert rate(store, others, agreed) == Outcome(written=1, withdrawn=1)
    assert closing(store) == {"hits": Decimal(60), "Already invoiced": Decimal(-120)}
    [(detail,)] = store.query("SELECT detail FROM charges WHERE description = 'Already invoiced'")
    assert "interim statement 1 of contract contract: -120" in detail
    assert billed(store) == truth(store, others, agreed)


def test_an_interim_statement_of_periods_that_are_gone_comes_off_where_it_began(store: Store) -> None:
    use(store, 1_200, read=10)  # on the 22nd
    rate(store)
    agreed = contracts(contract(1, billing={"anchor_day": 15}))
    october = Asked(type(NOVEMBER).month(2026, 10))
    for asked in (october, Asked(NOVEMBER)):
        list(begin_pass(store, Prices(book({**ERRORS, **FEE}, revision=2), agreed), asked, rated_at=NOON).ratings)
    told = store.query("SELECT toDate(period_start), description, amount FROM charges ORDER BY period_start, line_no")
    assert [(str(day), what, amount) for day, what, amount in told] == [
        ("2026-10-15", "base", 31),
        ("2026-10-15", "Already invoiced", -120),
        ("2026-11-15", "errors", 120),
        ("2026-11-15", "base", 31),
    ]
    [(detail,)] = store.query("SELECT detail FROM charges WHERE description = 'Already invoiced'")
    assert "of contract contract for 2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z" in detail


@pytest.mark.parametrize(
    ("prices", "agreed", "reason"),
    [
        (
            book({**ERRORS, **FEE}, revision=2, currency="EUR"),
            contracts(contract(1, currency="EUR")),
            "currency_mismatch",
        ),
        (BOOK, contracts(contract(1, until="2026-11-01")), "contract_not_in_force"),
    ],
)
def test_what_cannot_come_off_is_a_failure(store: Store, prices: PriceBook, agreed: Contracts, reason: str) -> None:
    use(store, 1_200, read=10)
    rate(store)
    store.command("TRUNCATE TABLE usage_windows")  # so that it is not the usage which fails
    before = everything(store)
    going = begin_pass(store, Prices(prices, agreed), Asked(NOVEMBER), rated_at=NOON)
    assert [[failure.reason for failure in rated.failures] for rated in going.ratings] == [[reason]]
    assert everything(store) == before
    assert store.query("SELECT org_id, reason FROM unrated") == [(1, reason)]


def test_an_unchanged_statement_is_rated_again_where_interim_ones_are_not_in_it(store: Store) -> None:
    use(store, 1_200, read=10)
    rate(store)
    row = store.query_rows("SELECT * FROM interim_statements")[0]
    store.command("INSERT INTO interim_statements SELECT * REPLACE (2 AS number) FROM interim_statements FINAL")
    assert row["number"] == 1
    assert rate(store) == Outcome(written=1)
    assert closing(store)["Already invoiced"] == -240


def test_a_rating_that_knows_less_than_the_statement_bills_nothing(store: Store) -> None:
    use(store, 500, read=10)
    early = read_known(store)
    use(store, 600, read=20)
    rate(store)
    use(store, 1_500, read=30)  # seen by a rating that read progress long before
    assert finished(begun(store, early)) == Outcome(superseded=1)
    assert interims(store) == []


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_a_row_stays_and_the_period_sums_to_its_truth(
    store: Store, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Usage up and down, ratings that are stopped before or after any write, and two at once, one after the other."""
    chance, read, seen = random.Random(seed), 0, list[Any]()

    class Stop(Exception):
        pass

    def stopping(name: str, *, after: bool) -> Callable[..., None]:
        every: dict[str, Callable[..., Any]] = {
            "write_rows": write_rows,
            "write_failures": write_failures,
            "write_due": write_due,
        }
        real = every[name]

        def stop(*given: Any) -> None:
            if after:
                real(*given)
            raise Stop

        return stop

    for _ in range(12):
        read += 10
        use(store, chance.randrange(4_000), read)
        what = chance.choice(["rate", "stop", "twice"])
        if what == "stop":
            name = chance.choice(["write_rows", "write_failures", "write_due"])
            with monkeypatch.context() as patched:
                patched.setattr(f"tally.statement_store.{name}", stopping(name, after=chance.random() < 0.5))
                with pytest.raises(Stop):
                    rate(store)
        elif what == "twice":
            one, other = begun(store), begun(store)
            finished(one)
            finished(other)
        else:
            rate(store)
        there = store.query("SELECT * FROM interim_statements FINAL ORDER BY ALL")
        assert [row for row in seen if row not in there] == []
        seen = there
    use(store, chance.randrange(4_000), read + 10, complete=True)
    rate(store)
    assert len(seen) == len(interims(store)) > 0
    assert billed(store) == truth(store)
