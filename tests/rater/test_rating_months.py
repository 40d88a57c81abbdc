"""What is due, by clocks that are values: periods that have begun, until they are complete, and a while longer."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.period import Period
from tally.rating_months import AGAIN, SETTLING, DuePeriods
from tally.work import periods_of
from tests.rater.books import contract, contracts

MONTHLY = contracts(contract())
MINUTE = dt.timedelta(minutes=1)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def names(
    due: DuePeriods, now: dt.datetime, agreed: Any = MONTHLY, complete_to: dt.datetime | None = None
) -> list[str]:
    """The months of one pass, each of which is rated to its end."""
    found = []
    for month in due.begin(now, agreed, complete_to):
        found.append(month.name)
        due.rated(month, complete_to)
    return found


@pytest.mark.parametrize(
    ("now", "months"),
    [
        ("2026-11-22T12:00", ["2026-10", "2026-11"]),
        ("2026-11-30T23:59:59", ["2026-10", "2026-11"]),
        ("2026-12-01T00:00", ["2026-10", "2026-11", "2026-12"]),
        ("2026-12-05T23:59", ["2026-10", "2026-11", "2026-12"]),
        ("2026-12-06T00:00", ["2026-11", "2026-12"]),
        ("2027-01-01T00:00", ["2026-11", "2026-12", "2027-01"]),
    ],
)
def test_this_month_and_those_that_ended_a_short_while_ago(now: str, months: list[str]) -> None:
    due = DuePeriods()
    assert names(due, at(now)) == months == due.months


def test_a_month_is_rated_until_it_was_rated_complete_and_then_every_two_hours() -> None:
    due, now = DuePeriods(), at("2026-12-10T00:00")
    end = at("2026-12-01T00:00")
    assert names(due, now, complete_to=None) == ["2026-11", "2026-12"]
    assert names(due, now + MINUTE, complete_to=end - MINUTE) == ["2026-11", "2026-12"]
    assert names(due, now + 2 * MINUTE, complete_to=end) == ["2026-11", "2026-12"]
    assert names(due, now + 3 * MINUTE, complete_to=end) == ["2026-12"]
    assert due.months == ["2026-11", "2026-12"]
    assert names(due, now + AGAIN - MINUTE, complete_to=end) == ["2026-12"]
    assert names(due, now + AGAIN, complete_to=end) == ["2026-11", "2026-12"]
    assert names(due, now + AGAIN + MINUTE, complete_to=end) == ["2026-12"]


def test_a_month_that_is_not_complete_stays_due_however_long_ago_it_ended() -> None:
    due, now, behind = DuePeriods(), at("2027-03-20T00:00"), at("2026-11-30T23:00")
    late = ["2026-11", "2026-12", "2027-01", "2027-02", "2027-03"]
    assert names(due, now, complete_to=behind) == late
    assert names(due, now + MINUTE, complete_to=behind) == late
    assert names(due, now + 2 * MINUTE, complete_to=at("2026-12-01T00:00")) == late[1:]
    assert names(due, now + 3 * MINUTE, complete_to=now) == late[3:]
    # A topic that has been dead for years does not have all those years rated again and again.
    assert len(names(DuePeriods(), now, complete_to=at("2010-01-01T00:00"))) == 14


def test_everything_is_due_again_when_contracts_change_or_it_is_told_to_forget() -> None:
    due, now, complete = DuePeriods(), at("2026-12-10T00:00"), at("2026-12-10T00:00")
    assert names(due, now, complete_to=complete) == ["2026-11", "2026-12"]
    assert names(due, now, contracts(contract()), complete_to=complete) == ["2026-11", "2026-12"]
    due.forget()
    assert names(due, now, contracts(contract()), complete_to=complete) == ["2026-11", "2026-12"]


def test_a_month_after_one_that_says_forget_is_asked_for_in_the_same_pass() -> None:
    due, now, complete = DuePeriods(), at("2026-12-03T00:00"), at("2026-12-03T00:00")
    assert names(due, now, complete_to=complete) == ["2026-10", "2026-11", "2026-12"]
    assert names(due, now + MINUTE, complete_to=complete) == ["2026-12"]
    due.forget()
    seen = due.begin(now + MINUTE, MONTHLY)
    assert next(seen).name == "2026-10"


@pytest.mark.parametrize(
    ("billing", "now", "months"),
    [
        # A day begins in Auckland 13 hours before it does in UTC, and in Honolulu 10 hours after.
        ({"zone": "Pacific/Auckland"}, "2026-11-30T10:59", ["2026-10", "2026-11"]),
        ({"zone": "Pacific/Auckland"}, "2026-11-30T11:00", ["2026-10", "2026-11", "2026-12"]),
        ({"zone": "Pacific/Honolulu"}, "2026-12-01T09:59", ["2026-10", "2026-11"]),
        ({"zone": "Pacific/Honolulu"}, "2026-12-01T10:00", ["2026-10", "2026-11", "2026-12"]),
        ({"anchor_day": 15}, "2026-11-14T23:59", ["2026-09", "2026-10"]),
        ({"anchor_day": 15}, "2026-11-15T00:00", ["2026-09", "2026-10", "2026-11"]),
        ({"interval": "year"}, "2026-11-22T12:00", ["2026-01"]),
        ({"interval": "year"}, "2027-02-01T12:00", ["2026-01", "2027-01"]),
        ({"interval": "quarter"}, "2026-11-22T12:00", ["2026-10"]),
        ({"interval": "week", "anchor_day": 1}, "2026-11-22T12:00", ["2026-10", "2026-11"]),
    ],
)
def test_periods_are_those_of_the_contracts(billing: dict[str, Any], now: str, months: list[str]) -> None:
    assert names(DuePeriods(), at(now), contracts(contract(billing=billing))) == months


def test_a_month_of_several_cycles_has_only_its_open_periods_due() -> None:
    agreed = contracts(contract(1), contract(2, id="yearly", billing={"interval": "year"}))
    due, now = DuePeriods(), at("2026-11-22T12:00")
    assert [month.name for month in due.begin(now, agreed)] == ["2026-01", "2026-10", "2026-11"]
    january = [period.name for period in periods_of(agreed, Period.parse("2026-01")) if due.wanted(period)]
    assert january == ["2026"]


@given(
    now=st.integers(0, 10 * 365 * 86_400).map(lambda seconds: at("2020-01-01") + dt.timedelta(seconds=seconds)),
    interval=st.sampled_from(["week", "month", "quarter", "half_year", "year"]),
    day=st.integers(1, 7),
    zone=st.sampled_from(["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin"]),
)
def test_no_open_period_is_left_out(now: dt.datetime, interval: str, day: int, zone: str) -> None:
    """Against every month of four years, looked at one by one."""
    billing = {"interval": interval, "anchor_day": day, "zone": zone}
    agreed = contracts(contract(billing=billing, **{"from": "2010-01-01"}))
    every = [Period.month(year, month) for year in range(now.year - 2, now.year + 2) for month in range(1, 13)]
    open_ones = {
        period for month in every for period in periods_of(agreed, month) if period.start <= now < period.end + SETTLING
    }
    due = DuePeriods()
    found = {period for month in due.begin(now, agreed) for period in periods_of(agreed, month) if due.wanted(period)}
    assert found == open_ones
    assert found
