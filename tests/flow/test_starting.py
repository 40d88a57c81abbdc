"""How a run starts beside others: generations, threads, announcements; and a clock that is set back while it runs."""

from pathlib import Path
from typing import Any

import pytest

from dataflows.plan import Plan, list_sources, make_plan
from dataflows.reading import Control, LogReading, Pace, ReadLogs, Tick
from dataflows.sources.files import FileSource
from schemas.catalogue import load_catalogue
from schemas.errors import SettingsError, UncleanStop
from schemas.log import LogId, RecordBatch
from schemas.metering import MeterSettings
from schemas.progress import Progress
from tests.flow.traffic import write_log

OLD = MeterSettings(load_catalogue())
NEW = MeterSettings(load_catalogue(), window=300_000_000)


class Progresses:
    """A store's progress, and whether rows lie past it."""

    def __init__(self) -> None:
        self.rows: dict[LogId, Progress] = {}
        self.past = False

    def progress(self) -> dict[LogId, Progress]:
        return dict(self.rows)

    def retired_topics(self) -> set[str]:
        return set()

    def rows_past_progress(self, log: LogId, generation: int, next_offset: int) -> bool:
        del log, generation, next_offset
        return self.past

    def take(self, plan: Plan) -> None:
        self.rows |= {planned.progress.log: planned.progress for planned in plan.logs}


def plan_of(folder: Path, store: Progresses, settings: MeterSettings) -> Plan:
    return make_plan(list_sources([FileSource(folder)], lambda: 0), settings, store)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        write_log(tmp_path / "traffic" / f"{number}.ndjson", 50, seed=number)
    return tmp_path / "traffic"


def reading(plan: Plan, clock: Any = lambda: 0, control: Control | None = None) -> LogReading:
    source = ReadLogs(plan, Pace(clock), control or Control(), lambda: None)
    return source.build("read", 0, 1)


def test_a_new_generation_is_refused_while_the_old_one_goes_on(folder: Path) -> None:
    store = Progresses()
    store.take(plan_of(folder, store, OLD))
    plan = plan_of(folder, store, NEW)
    plan.check_nobody_else_writes(store)
    log, progress = next(iter(store.rows.items()))
    # The old run has written since: first its rows, then its progress.
    store.past = True
    with pytest.raises(UncleanStop, match="another run is still writing generation 1"):
        plan.check_nobody_else_writes(store)
    store.past = False
    store.rows[log] = Progress(**{**_fields(progress), "next_offset": progress.next_offset + 1})
    with pytest.raises(UncleanStop, match="Stop the other run first"):
        plan.check_nobody_else_writes(store)


def test_a_peer_that_announced_the_same_generation_is_no_other_run(folder: Path) -> None:
    store = Progresses()
    store.take(plan_of(folder, store, OLD))
    plan = plan_of(folder, store, NEW)
    store.take(plan)
    plan.check_nobody_else_writes(store)


def test_a_new_generation_is_refused_where_another_one_stands_by_now(folder: Path) -> None:
    """A remeter was switched or undone meanwhile: what this run would follow on counts no more."""
    store = Progresses()
    store.take(plan_of(folder, store, OLD))
    plan = plan_of(folder, store, NEW)
    log, progress = next(iter(store.rows.items()))
    store.rows[log] = Progress(**{**_fields(progress), "generation": 7})
    with pytest.raises(UncleanStop, match="generation 7 has taken the place of generation 1"):
        plan.check_nobody_else_writes(store)


def test_worker_threads_are_refused(folder: Path) -> None:
    control = Control()
    plan = plan_of(folder, Progresses(), OLD)
    source = ReadLogs(plan, Pace(lambda: 0), control, lambda: None)
    source.build("read", 0, 2)
    assert control.failure is None
    source.build("read", 1, 2)
    assert isinstance(control.failure, SettingsError)
    assert "use processes" in str(control.failure)


def test_a_share_is_read_after_everything_was_announced(folder: Path) -> None:
    told: list[str] = []
    plan = plan_of(folder, Progresses(), OLD)
    source = ReadLogs(plan, Pace(lambda: 0), Control(), lambda: told.append("announced"))
    one = source.build("read", 1, 2)
    assert told == []
    first = one.next_batch()
    assert told == ["announced"]
    read = {item.log for item in first if isinstance(item, RecordBatch)}
    assert read == {planned.listed.log for planned in plan.share(1, 2)}
    one.close()


def test_the_last_item_is_a_tick(folder: Path) -> None:
    one = reading(plan_of(folder, Progresses(), OLD))
    items: list[Any] = []
    with pytest.raises(StopIteration):
        _read_all(one, items)
    assert isinstance(items[-1], Tick)
    one.close()


def _read_all(one: LogReading, items: list[Any]) -> None:
    while True:
        items += one.next_batch()


def _fields(progress: Progress) -> dict[str, Any]:
    return {name: getattr(progress, name) for name in progress.__dataclass_fields__}
