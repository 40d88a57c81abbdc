"""Terms: what holds through a period, in segments, and which fees are due in it."""

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rater.contract import Contracts
from rater.rate import rate
from rater.terms import Terms, billing_periods, periods_beginning_in, terms, uncovered
from schemas.period import Period, midnight
from schemas.statements import CategoryUsage, OrgUsage, UsagePart
from tests.rater.books import NOVEMBER, book, contract, contracts, failed, rated, used
from tests.rater.months import FEE, NEW_YORK, fee, held, lines, version

# ---- segments ----


def test_a_price_that_changes_inside_the_period_makes_two_segments() -> None:
    prices = book(versions=[version("2020-01-01", fee(30), "2026-11-16"), version("2026-11-16", fee(60))])
    found = held(prices, contracts())
    assert [(str(segment.stretch.first), segment.stretch.days) for segment in found.segments] == [
        ("2026-11-01", 15),
        ("2026-11-16", 15),
    ]
    assert [segment.effective for segment in found.segments] == [dt.date(2020, 1, 1), dt.date(2026, 11, 16)]
    assert (found.version.since, found.days) == (dt.date(2026, 11, 16), (30, 30))
    assert lines(prices, contracts()) == [["15.00", "30.00"]]


def test_a_change_takes_place_at_midnight_of_the_contract_s_zone() -> None:
    versions = [version("2020-01-01", FEE, "2026-11-16"), version("2026-11-16", FEE)]
    agreed = contracts(contract(billing=NEW_YORK))
    [period] = billing_periods(agreed, 1, NOVEMBER)
    assert period.start == dt.datetime(2026, 11, 1, 4, tzinfo=dt.UTC)  # summer time ends on this day
    assert period.end == dt.datetime(2026, 12, 1, 5, tzinfo=dt.UTC)
    found = held(book(versions=versions), agreed, period)
    assert [segment.start for segment in found.segments] == [period.start, dt.datetime(2026, 11, 16, 5, tzinfo=dt.UTC)]
    assert found.segments[0].end == found.segments[1].start
    assert found.segments[1].end == period.end


def test_one_contract_after_another_makes_two_segments_of_one_statement() -> None:
    two = book({**FEE, "spans": {"category": "span", "price": {"model": "per_unit", "unit_amount": 1}}})
    agreed = contracts(
        contract(1, until="2026-11-10"), contract(1, id="next", **{"from": "2026-11-10"}, overrides=[{"multiply": 2}])
    )
    assert billing_periods(agreed, 1, NOVEMBER) == (NOVEMBER,)
    assert [segment.contract.id for segment in held(two, agreed).segments] == ["contract", "next"]
    parts = [UsagePart(dt.datetime(2026, 11, day, tzinfo=dt.UTC), 5) for day in (9, 10)]
    usage = OrgUsage(1, {"span": CategoryUsage(10, parts[0].start, parts[1].start, parts=tuple(parts))})
    statement = rated(two, usage, agreed)
    assert statement.contract == "next"
    assert [(line.charge, f"{line.amount:f}") for line in statement.lines] == [
        ("base", "9.00"),  # 30 × 9/30
        ("base", "42.00"),  # 60 × 21/30
        ("spans", "5.00"),
        ("spans", "10.00"),
    ]


def test_a_retroactive_contract_prices_the_period_as_a_whole_by_what_holds_at_its_end() -> None:
    agreed = contracts(
        contract(1, until="2026-11-10"),
        contract(1, **{"from": "2026-11-10"}, overrides=[{"multiply": 2}], retroactive=True),
    )
    [segment] = held(book(FEE), agreed).segments
    assert segment.stretch.days == 30
    assert lines(book(FEE), agreed) == [["60.00"]]
    assert lines(book(FEE), agreed, "2026-10") == [["30.00"]]


def test_a_retroactive_contract_leaves_a_trial_alone() -> None:
    trial = {"days": 5, "free": ["base"]}
    began = {"from": "2026-11-01", "trial": trial, "retroactive": True}
    agreed = contracts(
        contract(1, **began, until="2026-11-10"),
        contract(1, **{**began, "from": "2026-11-10"}, overrides=[{"multiply": 2}]),
    )
    found = held(book(FEE), agreed)
    assert [(segment.stretch.days, segment.trial) for segment in found.segments] == [(5, True), (25, False)]
    assert lines(book(FEE), agreed) == [["50.00"]]


@given(st.lists(st.integers(1, 29), unique=True, max_size=4), st.integers(0, 10**6), st.booleans())
def test_amendments_that_change_nothing_change_nothing(cuts: list[int], quantity: int, in_advance: bool) -> None:
    edges = [dt.date(2020, 1, 1), *(dt.date(2026, 11, 1) + dt.timedelta(days=cut) for cut in sorted(cuts)), None]
    agreed = contracts(
        *(
            contract(1, **{"from": f"{one}"}, **({"until": f"{after}"} if after else {}))
            for one, after in pairwise(edges)
        )
    )
    charge = {"category": "error", "included": 3, "price": {"model": "per_unit", "unit_amount": "0.7"}}
    prices = book({**fee("29.99", in_advance=in_advance), "errors": charge})
    usage = used(error=quantity)
    assert len(held(prices, agreed).segments) == len(cuts) + 1
    assert rated(prices, usage, agreed).lines == rated(prices, usage, contracts(contract(1))).lines


@given(st.lists(st.integers(1, 30), unique=True, min_size=1, max_size=3), st.decimals(0, 1000, places=2).map(abs))
def test_a_contract_split_at_any_day_owes_the_whole_fee_before_rounding(cuts: list[int], amount: Decimal) -> None:
    """Contracts of other periods after another, each with a stub of its own: the stubs are the month."""
    days = [dt.date(2026, 10, 1), *(dt.date(2026, 10, 1) + dt.timedelta(days=cut) for cut in sorted(cuts))]
    edges = [*days, dt.date(2026, 11, 1)]
    owed = Fraction(0)
    for first, after in pairwise(edges):
        agreed = contracts(contract(1, **{"from": f"{first}"}, until=f"{after}"))
        for period in billing_periods(agreed, 1, Period.parse("2026-10")):
            for part in held(book(fee(amount)), agreed, period).fees["base"]:
                owed += Fraction(part.amount) * part.share
    assert owed == Fraction(amount)


# ---- billing periods ----

ANCHORED = contract(1, **{"from": "2026-11-05"}, billing={"anchor_day": 15})


def test_a_stub_comes_before_the_first_anchored_period_and_both_begin_in_the_month() -> None:
    agreed = contracts(ANCHORED)
    found = billing_periods(agreed, 1, NOVEMBER)
    assert [str(period) for period in found] == ["2026-11-05 to 2026-11-14", "2026-11-15 to 2026-12-14"]
    assert found == periods_beginning_in(agreed.by_org[1][0].contract, NOVEMBER)
    assert held(book(FEE), agreed, found[0]).days == (10, 31)  # of the anchored period that contains the stub
    assert lines(book(FEE), agreed) == [["9.68"], ["30.00"]]
    assert lines(book(FEE), agreed, "2026-10") == []


def test_an_organisation_without_contracts_has_everyone_s_periods() -> None:
    agreed = contracts(contract(billing={"anchor_day": 15}), contract(2))
    assert [str(period) for period in billing_periods(agreed, 1, NOVEMBER)] == ["2026-11-15 to 2026-12-14"]
    assert billing_periods(agreed, 2, NOVEMBER) == (NOVEMBER,)
    assert billing_periods(contracts(contract(2)), 1, NOVEMBER) == ()


def test_contracts_that_are_billed_otherwise_have_periods_of_their_own() -> None:
    agreed = contracts(
        contract(1, until="2026-11-10"), contract(1, id="next", **{"from": "2026-11-10"}, billing={"anchor_day": 20})
    )
    assert [str(period) for period in billing_periods(agreed, 1, NOVEMBER)] == [
        "2026-11-01 to 2026-11-09",
        "2026-11-10 to 2026-11-19",
        "2026-11-20 to 2026-12-19",
    ]
    assert lines(book(FEE), agreed) == [["9.00"], ["9.68"], ["30.00"]]


def test_contracts_in_other_currencies_have_periods_of_their_own() -> None:
    agreed = contracts(contract(1, until="2026-11-10", currency="EUR"), contract(1, **{"from": "2026-11-10"}))
    found = billing_periods(agreed, 1, NOVEMBER)
    assert [str(period) for period in found] == ["2026-11-01 to 2026-11-09", "2026-11-10 to 2026-11-30"]
    assert failed(rate(book(FEE), agreed, used(), NOVEMBER)) == [("contract_changes_inside_period", "")]
    assert failed(rate(book(FEE), agreed, used(), found[0])) == [("currency_mismatch", "")]
    assert rated(book(FEE), used(), agreed, found[1]).total == 21


intervals = st.sampled_from(["week", "month", "quarter", "half_year", "year"])


@st.composite
def agreements(draw: st.DrawFn) -> Contracts:
    """Contracts after another, with and without gaps, in any zone and of any interval."""
    day = dt.date(2026, 1, 1) + dt.timedelta(days=draw(st.integers(0, 400)))
    found = []
    for number in range(draw(st.integers(1, 3))):
        until = day + dt.timedelta(days=draw(st.integers(1, 300)))
        interval = draw(intervals)
        billing = {
            "interval": interval,
            "anchor_day": draw(st.integers(1, 7 if interval == "week" else 31)),
            "zone": draw(st.sampled_from(["UTC", "America/New_York", "Asia/Tokyo"])),
        }
        found.append(contract(1, id=f"c{number}", **{"from": f"{day}"}, until=f"{until}", billing=billing))
        day = until + dt.timedelta(days=draw(st.sampled_from([0, 1, 1, 40])) + 1)
    return contracts(*found)


@given(agreements())
def test_every_instant_is_in_one_billing_period_or_is_said_to_be_uncovered(agreed: Contracts) -> None:
    found = sorted(
        period
        for year in (2025, 2026, 2027, 2028, 2029, 2030)
        for month in range(1, 13)
        for period in billing_periods(agreed, 1, Period.month(year, month))
    )
    around = Period(dt.datetime(2025, 6, 1, tzinfo=dt.UTC), dt.datetime(2031, 1, 1, tzinfo=dt.UTC), "around")
    pieces = sorted([*found, *uncovered(agreed, 1, around)])
    assert (pieces[0].start, pieces[-1].end) == (around.start, around.end)
    for one, after in pairwise(pieces):
        assert one.end == after.start


@given(agreements())
def test_every_billing_period_has_terms_and_no_uncovered_one_has(agreed: Contracts) -> None:
    for month in range(1, 13):
        period = Period.month(2026, month)
        for billed in billing_periods(agreed, 1, period):
            found = held(book(FEE), agreed, billed)
            assert found.segments[0].start == billed.start
            assert found.segments[-1].end == billed.end
            assert 0 < found.days[0] <= found.days[1]
        for gap in uncovered(agreed, 1, period):
            assert failed(rate(book(FEE), agreed, used(), gap)) == [("contract_not_in_force", "")]


def test_what_no_contract_covers_is_said_by_instants_where_it_is_no_day() -> None:
    agreed = contracts(contract(1, **{"from": "2026-11-10"}, until="2026-11-20", billing=NEW_YORK))
    assert [str(period) for period in uncovered(agreed, 1, NOVEMBER)] == [
        "2026-11-01T00:00Z to 2026-11-10T05:00Z",
        "2026-11-20T05:00Z to 2026-12-01T00:00Z",
    ]
    assert uncovered(contracts(contract()), 1, NOVEMBER) == ()


@pytest.mark.parametrize("shift", [dt.timedelta(hours=1), dt.timedelta(days=1), dt.timedelta(days=-1)])
def test_a_period_that_is_no_part_of_a_billing_period_is_a_failure(shift: dt.timedelta) -> None:
    period = Period(NOVEMBER.start + shift, NOVEMBER.end + shift, "shifted")
    assert failed(rate(book(FEE), contracts(), used(), period)) == [("not_a_billing_period", "")]


DAYS = ["2015-01-01", "2015-01-06", "2015-02-07", "2015-05-12", "2023-11-20", "2024-12-10", "2025-01-20", "2025-02-01"]


@given(
    st.lists(st.tuples(st.sampled_from(DAYS), st.sampled_from([None, 900, 3900, 9000])), min_size=2, max_size=5),
    st.sampled_from(["week", "month"]),
    st.integers(0, 16),
)
@example([("2015-01-01", None), ("2015-01-06", None)], "month", 3)  # weeks from another day
@example([("2015-01-01", None), ("2015-02-05", None)], "month", 0)  # years from another month
@example([("2015-01-01", None), ("2015-01-01", 3900)], "month", 0)  # a year that ends before its end
@example([("2015-02-07", None), ("2025-02-01", None)], "month", 12)  # a year that begins after its beginning
def test_contracts_that_are_alike_share_no_answer_that_differs(
    made: list[tuple[str, int | None]], interval: str, on: int
) -> None:
    """A phase that changes nothing goes the long way, a contract that takes the plan as it is the short one."""
    fees = {
        f"{name}-{paid}": {"price": {"model": "flat", "amount": 100, "interval": name, "in_advance": paid == "ahead"}}
        for name in ("week", "month", "year")
        for paid in ("ahead", "after")
    }
    prices = book({**fees, "setup": {"price": {"model": "flat", "amount": 7, "one_time": True}}})
    short, long = [], []
    for org_id, (since, length) in enumerate(made):
        found = contract(org_id, **{"from": since}, billing={"interval": interval})
        if length is not None:
            found["until"] = str(dt.date.fromisoformat(since) + dt.timedelta(days=length))
        short.append(found)
        long.append({**found, "phases": [{}]})
    both = contracts(*short), contracts(*long)
    month = Period.month(2025 + on // 12, on % 12 + 1)
    for org_id in range(len(made)):
        for period in billing_periods(both[0], org_id, month):
            one, other = (terms(prices, agreed, org_id, period) for agreed in both)
            assert isinstance(one, Terms)
            assert isinstance(other, Terms)
            assert (one.fees, one.days, one.cycle) == (other.fees, other.days, other.cycle)
            assert [s.stretch for s in one.segments] == [s.stretch for s in other.segments]
            assert one.contract.org_id == org_id


def test_terms_that_everyone_shares_are_found_once() -> None:
    agreed, prices = contracts(), book(FEE)
    assert terms(prices, agreed, 1, NOVEMBER) is terms(prices, agreed, 2, NOVEMBER)
    other = rate(prices, contracts(contract(**{"from": "2026-11-02"})), used(7), NOVEMBER)
    assert other.failures[0].org_id == 7
    assert midnight(dt.date(2026, 11, 1)) == NOVEMBER.start
