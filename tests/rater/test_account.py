"""A chain of periods is a fold over accounts, and no part of a grant gets lost on the way."""

import datetime as dt
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rater.account import NEW, Account, Balance
from rater.adjustments import finish
from rater.grants import Grant
from rater.settling import Movement, after, movements
from schemas.money import exact
from schemas.statements import Statement
from tests.rater.sheets import adjusted, grant, month, sheet, statement, told


@st.composite
def grants(draw: st.DrawFn, id_: str) -> Grant:
    start = draw(st.integers(1, 4))
    fields: dict[str, Any] = {
        "from": f"2026-{start:02}-{draw(st.sampled_from(['01', '16']))}",
        "priority": draw(st.integers(0, 2)),
    }
    if draw(st.booleans()):
        fields["until"] = f"2026-{draw(st.integers(start + 1, 9)):02}-{draw(st.sampled_from(['01', '10']))}"
    recurring = draw(st.booleans())
    if recurring:
        fields["every"] = "period"
        fields["prorated"] = draw(st.sampled_from([None, "days", "seconds"]))
        if draw(st.booleans()):
            fields["rollover"] = {
                "cap": draw(st.none() | st.integers(0, 150)),
                "periods": draw(st.none() | st.integers(1, 3)),
            }
    elif draw(st.booleans()):
        fields["recharge"] = {"amount": draw(st.integers(1, 40)), "below": draw(st.integers(0, 20)), "limit": 3}
    elif "until" not in fields and draw(st.booleans()):
        fields["overdraft"] = {"limit": draw(st.none() | st.integers(0, 50))}
    if "rollover" not in fields and "recharge" not in fields and draw(st.booleans()):
        fields |= {"invoice_amount": draw(st.integers(1, 100)), "unused": "refund"}
    return grant(id_, draw(st.integers(1, 100)), **fields)


several = st.lists(st.sampled_from("abcd"), unique=True, min_size=1).flatmap(
    lambda found: st.tuples(*(grants(id_) for id_ in found))
)
spending = st.lists(st.decimals(0, 150, places=3).map(abs), min_size=1, max_size=9)


def rated(number: int, owed: Decimal, account: Account, found: tuple[Grant, ...]) -> Statement:
    return statement(adjusted(sheet({"x": owed}, period=month(number), account=account, grants=found), end=True))


@given(several, spending)
def test_a_fold_over_periods_conserves_every_grant(found: tuple[Grant, ...], owed: list[Decimal]) -> None:
    """Granted = burned + refunded + expired + left, of every grant, whatever happens in however many periods."""
    account = NEW
    moved: dict[str, dict[str, Fraction]] = {one.id: defaultdict(Fraction) for one in found}
    for number, amount in enumerate(owed, 1):
        made = rated(number, amount, account, found)
        seen: set[tuple[str, dt.date]] = set()
        for move in movements(account, made, found):
            key = (move.balance.grant, move.balance.start)
            assert key not in seen
            seen.add(key)
            _count(moved[move.balance.grant], move)
        before, account = account, after(account, made, found)
        assert {(old.grant, old.start) for old in before.balances} <= seen
    for one in found:
        count = moved[one.id]
        left = sum((Fraction(balance.left) for balance in account.balances if balance.grant == one.id), Fraction(0))
        assert count["granted"] == count["burned"] + count["refunded"] + count["expired"] + left
        assert count["burned"] >= 0
        assert count["expired"] >= 0
        if one.every == "once":
            assert count["times"] <= 1
        if one.overdraft is None:
            assert left >= 0
        elif one.overdraft.limit is not None:
            assert left >= -Fraction(one.overdraft.limit)
        if one.rollover is not None and one.rollover.cap is not None:
            assert left <= Fraction(one.rollover.cap)


def _count(count: dict[str, Fraction], move: Movement) -> None:
    if move.new:
        count["granted"] += Fraction(move.balance.left)
        count["times"] += 1
    count["granted"] += Fraction(move.recharged)
    for word in ("burned", "refunded", "expired"):
        count[word] += Fraction(getattr(move, word))


@given(several, spending)
def test_a_statement_tells_all_that_became_of_the_balances(found: tuple[Grant, ...], owed: list[Decimal]) -> None:
    """What `movements` reads off the lines is what burning left on the sheet."""
    account = NEW
    for number, amount in enumerate(owed, 1):
        made = sheet({"x": amount}, period=month(number), account=account, grants=found)
        finish(made)
        moves = movements(account, statement(made), found)
        with exact():
            ended = {move.balance.id: move.left + move.expired + move.refunded for move in moves}
        burned = {balance.id: balance.left for balance in made.balances or ()}
        assert {id_: left for id_, left in ended.items() if left or id_ in burned} == burned
        account = after(account, statement(made), found)


@given(several, spending, st.integers(0, 8))
def test_a_chain_can_be_stopped_and_gone_on_with(found: tuple[Grant, ...], owed: list[Decimal], stop: int) -> None:
    """`after` looks at nothing but its arguments: rating a period again from its account gives the same statement."""
    accounts, made = [NEW], []
    for number, amount in enumerate(owed, 1):
        made.append(rated(number, amount, accounts[-1], found))
        accounts.append(after(accounts[-1], made[-1], found))
    place = min(stop, len(owed) - 1)
    again = rated(place + 1, owed[place], accounts[place], found)
    assert again == made[place]
    assert after(accounts[place], again, found) == accounts[place + 1]


def _lefts(account: Account) -> dict[str, Decimal]:
    return {balance.id: balance.left for balance in account.balances}


def _folded(found: tuple[Grant, ...], owed: list[int], first: int = 1) -> Account:
    account = NEW
    for number, amount in enumerate(owed, first):
        account = after(account, rated(number, Decimal(amount), account, found), found)
    return account


def _available(found: tuple[Grant, ...], account: Account, number: int) -> Decimal:
    made = sheet({}, period=month(number), account=account, grants=found)
    finish(made)
    with exact():
        return sum((balance.left for balance in made.balances or ()), Decimal(0))


def test_what_a_period_leaves_rolls_over() -> None:
    found = (grant("monthly", 1000, every="period", rollover={}),)
    account = _folded(found, [600])
    assert _available(found, account, 2) == 1400
    assert _lefts(account) == {"monthly@2026-01-01": 400}


def test_what_rolled_over_is_burned_before_the_current_grant() -> None:
    found = (grant("monthly", 1000, every="period", rollover={}),)
    account = _folded(found, [600, 300])
    assert _lefts(account) == {"monthly@2026-01-01": 100, "monthly@2026-02-01": 1000}


def test_use_it_or_lose_it() -> None:
    found = (grant("monthly", 1000, every="period"),)
    account = _folded(found, [600])
    assert _lefts(account) == {}
    assert _available(found, account, 2) == 1000


def test_over_the_cap_the_oldest_is_lost() -> None:
    found = (grant("monthly", 1000, every="period", rollover={"cap": 1500}),)
    account = _folded(found, [0, 0])
    assert _lefts(account) == {"monthly@2026-01-01": 500, "monthly@2026-02-01": 1000}
    assert _lefts(_folded(found, [0, 0, 0])) == {"monthly@2026-02-01": 500, "monthly@2026-03-01": 1000}


def test_a_rollover_of_one_period_is_gone_after_the_next() -> None:
    found = (grant("monthly", 1000, every="period", rollover={"periods": 1}),)
    assert _lefts(_folded(found, [600])) == {"monthly@2026-01-01": 400}
    assert _lefts(_folded(found, [600, 100])) == {"monthly@2026-02-01": 1000}


def test_a_grant_that_ended_is_never_given_again() -> None:
    first = grant("gift", 50, until="2026-02-01", **{"from": "2026-01-01"})
    account = _folded((first,), [20])
    longer = grant("gift", 50, until="2026-09-01", **{"from": "2026-01-01"})
    assert _available((longer,), account, 2) == 0


def test_a_longer_grant_goes_on_with_what_is_left() -> None:
    account = _folded((grant("gift", 50, until="2026-03-01"),), [20])
    longer = (grant("gift", 50, until="2026-09-01"),)
    assert _available(longer, account, 4) == 30


def test_a_debt_is_carried_on_and_a_recharge_pays_it() -> None:
    found = (grant("wallet", 10, overdraft={}),)
    account = _folded(found, [25])
    assert _lefts(account) == {"wallet@2020-01-01": -15}
    charging = (grant("wallet", 10, overdraft={}, recharge={"amount": 20}),)
    made = rated(2, Decimal(0), account, charging)
    assert told(made) == ["charge 0", "prepaid 20"]
    assert _lefts(after(account, made, charging)) == {"wallet@2020-01-01": 5}


def test_a_grant_that_the_contract_drops_expires() -> None:
    found = (grant("gift", 50),)
    account = _folded(found, [20])
    made = rated(2, Decimal(10), account, ())
    assert made.total == 10
    [move] = movements(account, made, ())
    assert move.expired == 30
    assert move.left == 0
    assert after(account, made, ()).balances == ()


def test_credit_usage_and_levels_are_carried_on() -> None:
    account = Account(
        used_before={"x": Decimal(7)},
        invoiced={"x": Decimal(3)},
        levels={"disk": Decimal(2)},
        credit=Decimal(20),
    )
    made = statement(adjusted(sheet({"x": 15}, account=account), end=True))
    assert made.total == 0
    left = after(account, made)
    assert left.credit == 8
    assert left.used_before == {"x": 8}
    assert left.invoiced == {}
    assert left.levels == {"disk": 2}
    assert after(account, made, levels={"disk": Decimal(5)}).levels == {"disk": 5}


def test_a_charge_may_be_called_like_the_accounts_credit() -> None:
    made = statement(adjusted(sheet({"account_credit": 15}, account=Account(credit=Decimal(20))), end=True))
    assert after(Account(credit=Decimal(20)), made).credit == 5


def test_a_balance_names_its_grant_and_its_day() -> None:
    assert Balance("monthly", dt.date(2026, 1, 1), Decimal(1)).id == "monthly@2026-01-01"
