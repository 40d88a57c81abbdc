"""When a rater that stays makes its passes, and what ends it: clocks, sleep and the store's moods are values."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tally as package
from dataflows.reading import Control
from schemas.errors import StoreUnavailable
from schemas.period import Period
from schemas.usage import Flush
from sinks.store import Store, open_store
from tally import rating_service
from tally.rated import Prices, Rated
from tally.rating_pass import Asked, RatingPass, begin_pass
from tally.rating_service import PassReport, RatingService, Schedule
from tally.settings import load_settings
from tally.telemetry.rater import RaterWatch
from tests.rater.raters import fill
from tests.store.samples import HOUR, NOON, R, progress, usage

DATA = Path(package.__file__).with_name("data")
NOVEMBER = Period.parse("2026-11")


class Clock:
    """Time that goes on only while somebody sleeps, or says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wall(self) -> int:
        return NOON + int(self.now * 1_000_000)


class Stand:
    """A service over a store of its own, which stops after some passes; `began` has when each began."""

    def __init__(self, tmp_path: Path, *, every: float, passes: int, **settings: str) -> None:
        url = f"chdb:{tmp_path / 'store'}"
        fill(url, [R(7, quantity=62_345), R(8, quantity=1)])
        self.clock, self.control = Clock(), Control()
        self.reports: list[PassReport] = []
        self.said: list[str] = []
        self.takes = 0.0
        self.passes = passes
        given = {"book": str(DATA / "prices.yaml"), "contracts": str(DATA / "contracts.yaml")}
        self.watch = RaterWatch(clock=self.clock, wall=self.clock.wall)
        self.service = RatingService(
            load_settings(store=url, **given, **settings),
            Asked(NOVEMBER),
            Schedule(every, self.clock, self.clock.wall, self.clock.sleep),
            self.control,
            self.watch,
            fixed=True,
            show=self.show,
            tell=self.tell,
        )

    def show(self, report: PassReport) -> None:
        self.reports.append(report)
        self.clock.now += self.takes
        if len(self.reports) == self.passes:
            self.control.request_stop()

    def tell(self, message: str, **_: Any) -> None:
        self.said.append(message)

    @property
    def began(self) -> list[int]:
        """Seconds from the first pass to the beginning of each."""
        return [round((report.began - self.reports[0].began) / 1_000_000) for report in self.reports]


def test_passes_begin_at_equal_distances(tmp_path: Path) -> None:
    stand = Stand(tmp_path, every=600, passes=3)
    stand.takes = 45
    stand.service.run()
    assert stand.began == [0, 600, 1200]


def test_a_pass_that_takes_longer_is_followed_at_once_and_missed_ones_are_not_made_up(tmp_path: Path) -> None:
    stand = Stand(tmp_path, every=600, passes=3)
    stand.takes = 1_500
    stand.service.run()
    assert stand.began == [0, 1500, 3000]


def test_a_stop_between_passes_ends_the_wait(tmp_path: Path) -> None:
    stand = Stand(tmp_path, every=600, passes=2)
    stand.service.run()
    assert stand.clock.now < 1_000 + 601
    assert [report.result for report in stand.reports] == ["rated", "rated"]


def failing(times: int, after: int) -> Callable[..., RatingPass]:
    """Return `begin_pass` of a store that goes away under the first passes, once some organisations are rated."""
    left = [times]

    def begin(*arguments: Any, **named: Any) -> RatingPass:
        going = begin_pass(*arguments, **named)
        if not left[0]:
            return going
        left[0] -= 1

        def broken() -> Iterator[Rated]:
            for number, rated in enumerate(going.ratings):
                if number == after:
                    going.ratings.close()  # type: ignore[attr-defined]  # as an error from within would
                    raise StoreUnavailable("the server has gone in the midst of an answer")
                yield rated

        return RatingPass(going.answer, broken())

    return begin


def test_a_pass_that_loses_its_store_in_the_midst_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rating_service, "begin_pass", failing(3, 2))
    stand = Stand(tmp_path, every=600, passes=1)
    stand.service.run()
    (report,) = stand.reports
    assert report.result == "rated"
    assert [message.partition(";")[0] for message in stand.said] == [
        "rating: the server has gone in the midst of an answer"
    ] * 3
    (answer,) = report.months
    assert answer.statements == answer.outcome.written + answer.outcome.unchanged == 5
    state = stand.watch.look()
    assert (state.waits, state.away_since, state.passes) == (3, None, {"rated": 1})
    assert state.organisations == 5, "what the passes that came to nothing rated is not counted"


@pytest.mark.parametrize("goes_away", [False, True])
def test_a_month_that_failed_before_the_store_went_away_is_told_by_the_pass_that_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goes_away: bool
) -> None:
    """October is complete, and so would be due again in two hours only."""
    stand = Stand(tmp_path, every=600, passes=1)
    october = R(8, quantity=1, start=NOON - 28 * 24 * HOUR)
    with open_store(f"chdb:{tmp_path / 'store'}", create=False) as store:
        found = progress(next_offset=200, log_end=200, log_end_seen_at=NOON, finite=True)
        store.write([Flush(found, "tally", usage([october]), ())])
    own = tmp_path / "own.yaml"
    own.write_text("contracts:\n  - {org_id: 7, id: a, plan: business, currency: USD, from: 2026-01-01}\n", "utf-8")
    monkeypatch.setattr(stand.service._files, "_settings", load_settings(book=DATA / "prices.yaml", contracts=own))
    monkeypatch.setattr(stand.service, "_fixed", False)
    left = [NOVEMBER] if goes_away else []

    def begin(store: Store, prices: Prices, asked: Asked, **named: Any) -> RatingPass:
        if asked.month in left:
            left.remove(asked.month)
            raise StoreUnavailable("the server has gone")
        return begin_pass(store, prices, asked, **named)

    monkeypatch.setattr(rating_service, "begin_pass", begin)
    stand.service.run()
    (report,) = stand.reports
    assert report.result == "incomplete"
    assert [answer.period.name for answer in report.months] == ["2026-10", "2026-11"]
    assert stand.watch.look().failures["2026-10"] == {"no_contract": 1}


def test_a_store_that_stays_away_for_longer_than_it_may_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rating_service, "begin_pass", failing(10_000, 0))
    stand = Stand(tmp_path, every=600, passes=1, store_patience="5s")
    with pytest.raises(StoreUnavailable) as ended:
        stand.service.run()
    assert ended.value.exit_status == 1
    assert 1_000 + 5 <= stand.clock.now < 1_000 + 12
    assert stand.reports == []


def test_time_in_which_a_pass_goes_well_is_no_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt rates some, which takes its time, before the store goes away for a moment."""
    monkeypatch.setattr(rating_service, "begin_pass", failing(3, 2))
    stand = Stand(tmp_path, every=600, passes=1, store_patience="5s")
    slow = stand.service._next

    def slowly(ratings: Iterator[Rated]) -> Rated | None:
        stand.clock.now += 60
        return slow(ratings)

    monkeypatch.setattr(stand.service, "_next", slowly)
    stand.service.run()
    assert [report.result for report in stand.reports] == ["rated"]


def test_a_failure_is_told_again_only_when_it_had_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.yaml"
    mine = "contracts:\n  - {org_id: 7, id: a, plan: business, currency: USD, from: 2026-01-01}\n"
    both = mine + mine.partition("\n")[2].replace("7", "8", 1).replace("id: a", "id: b")
    own.write_text(mine, encoding="utf-8")
    stand = Stand(tmp_path, every=600, passes=5)
    monkeypatch.setattr(stand.service._files, "_settings", load_settings(book=DATA / "prices.yaml", contracts=own))
    shown = stand.show

    def show(report: PassReport) -> None:
        own.write_text({2: both, 3: mine}.get(report.number, own.read_text(encoding="utf-8")), encoding="utf-8")
        shown(report)

    monkeypatch.setattr(stand.service, "_show", show)
    stand.service.run()
    assert [report.result for report in stand.reports] == [
        "incomplete",
        "incomplete",
        "rated",
        "incomplete",
        "incomplete",
    ]
    assert len([said for said in stand.said if "organisation 8" in said]) == 2


def test_the_wall_clock_dates_what_is_written(tmp_path: Path) -> None:
    stand = Stand(tmp_path, every=600, passes=1)
    began = time.time_ns() // 1_000
    stand.service.run()
    (report,) = stand.reports
    assert report.began == NOON + 1_000 * 1_000_000 != began
    assert stand.watch.look().rated_at == report.began
