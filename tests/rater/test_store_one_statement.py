"""An organisation has one statement with lines for a time, whoever rates it, by whatever contracts, in any order."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rater.book import Contracts, PriceBook
from schemas.period import Period
from sinks.store import Store, open_store
from tally.packed_rows import write_rows
from tally.rated import Prices, Rated
from tally.rating import read_known
from tally.rating_pass import Asked, begin_pass
from tally.statement_rows import statement_row
from tally.statement_store import Outcome, StatementStore
from tests.rater.books import NOVEMBER, book, contract, contracts, rated, used
from tests.rater.test_store_interim import use
from tests.store.samples import NOON

ERRORS = {"errors": {"category": "error", "price": {"model": "per_unit", "unit_amount": "0.1"}}}
BOOK = book(ERRORS)
OLD = contracts(contract(1))
MOVED: list[dict[str, Any]] = [
    {"id": "new"},
    {"id": "new", "billing": {"anchor_day": 15}},
    {"id": "new", "billing": {"zone": "Europe/Vienna"}},
    {"billing": {"interval": "year", "anchor_day": 1}, "from": "2026-11-01"},
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"chdb:{tmp_path / 'store'}") as opened:
        opened.migrate()
        yield opened


def rate(store: Store, agreed: Contracts, prices: PriceBook = BOOK) -> list[Outcome]:
    outcomes = []
    for month in (Period.month(2026, 10), NOVEMBER):
        going = begin_pass(store, Prices(prices, agreed), Asked(month), rated_at=NOON)
        list(going.ratings)
        outcomes.append(going.answer.outcome)
    return outcomes


def begun(store: Store, agreed: Contracts) -> tuple[StatementStore, list[Rated]]:
    """A rating of November that has read and rated, and not looked at what is kept yet."""
    going = StatementStore(store, BOOK, read_known(store), NOON)
    taken: list[Rated] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(StatementStore, "keep", lambda _, one: taken.append(one))
        list(begin_pass(store, Prices(BOOK, agreed), Asked(NOVEMBER), rated_at=NOON).ratings)
    return going, taken


def billed(store: Store) -> list[Any]:
    """Statements that bill the usage of November."""
    return store.query(
        "SELECT contract, period_start, period_end, total FROM statements FINAL "
        "WHERE notEmpty(`lines.line_no`) ORDER BY ALL"
    )


@pytest.mark.parametrize("new", range(len(MOVED)))
def test_a_slow_rating_by_the_contracts_before_does_not_bill_beside_the_new_ones(store: Store, new: int) -> None:
    agreed = contracts(contract(1, **MOVED[new]))
    use(store, 1_000, read=10)
    statements, taken = begun(store, OLD)
    use(store, 1_100, read=20)
    rate(store, agreed)
    good = billed(store)
    assert [total for *_, total in good] == [Decimal(110)]
    with statements:
        for one in taken:
            statements.keep(one)
    assert statements.outcome == Outcome(superseded=1)
    assert billed(store) == good


@pytest.mark.parametrize("new", range(len(MOVED)))
@pytest.mark.parametrize("revision", [1, 2])
def test_two_that_both_were_written_are_one_after_the_next_rating(store: Store, new: int, revision: int) -> None:
    """Two ratings that both look before either writes: the one whose contracts hold does not take its own as done."""
    agreed, prices = contracts(contract(1, **MOVED[new])), book(ERRORS, revision=revision)
    use(store, 1_000, read=10)
    rate(store, agreed, prices)
    good = billed(store)
    known = read_known(store)
    other = rated(BOOK, used(1, error=900), OLD)
    write_rows(store, [statement_row(other, known.vector, known.complete_to, known.version(1), NOON)])
    assert len(billed(store)) == 2
    assert sum(outcome.withdrawn for outcome in rate(store, agreed, prices)) == 1
    assert billed(store) == good
    assert all(outcome.written == 0 for outcome in rate(store, agreed, prices))
