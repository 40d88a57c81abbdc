"""A switch is one moment for its readers: whoever reads meanwhile sees all of the one side or all of the other."""

import threading
from pathlib import Path

import pytest

from dataflows.decode import Decoder
from dataflows.reading import Control
from sinks.store import Store, open_store
from tally.remeter.ranges import Asked
from tally.remeter.run import find_targets, make_candidates, plan_remeter
from tally.remeter.switching import switch, undo
from tally.rereading import reopen
from tally.running import Watch, run_here
from tally.settings import load_settings
from tests.flow.traffic import write_log
from tests.remeter.steps import AT, BY
from tests.remeter.wrong import run_wrongly
from tests.store.serving import ServerProcess

READERS = 2
FLIPS = 6

_SEEN = "SELECT sum(quantity), sum(events), count() FROM {view}"


def seen(store: Store) -> tuple[tuple[int, ...], ...]:
    """Return what three questions answer; each is one query, and so one moment."""
    usage = store.query(_SEEN.format(view="usage"))[0]
    letters = store.query("SELECT count(), countIf(reason = 'conflicting_duplicate') FROM active_letters")[0]
    counts = store.query(
        "SELECT sum(accepted), sum(duplicates), count() FROM (SELECT * FROM active_progress ORDER BY place DESC "
        "LIMIT 1 BY topic, partition)"
    )[0]
    return tuple(tuple(int(value) for value in row) for row in (usage, letters, counts))


def test_readers_see_one_side_or_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ServerProcess(tmp_path / "store") as server:
        for number in range(3):
            write_log(tmp_path / "in" / f"{number}.ndjson", 500, seed=number)
        settings = load_settings(sources=(str(tmp_path / "in"),), store=server.url)
        run_wrongly(settings, monkeypatch)
        rules = settings.meter_settings()
        with open_store(server.url) as store:
            targets = find_targets(store, "in", None, Asked())
            planned = plan_remeter(
                store, rules, "in", targets, lambda one: reopen(one, settings, lambda: AT, print), lambda: AT
            )
            make_candidates(store, planned, Decoder(rules), now=AT, by=BY)
            before = seen(store)
            switch(store, planned.name, rules, now=AT, by=BY)
            after = seen(store)
            assert all(one != other for one, other in zip(before, after, strict=True))

            stop, answers = threading.Event(), list[tuple[tuple[int, ...], ...]]()

            def read() -> None:
                with open_store(server.url) as own:
                    while not stop.is_set():
                        answers.append(seen(own))

            readers = [threading.Thread(target=read) for _ in range(READERS)]
            for reader in readers:
                reader.start()
            for number in range(FLIPS):
                (switch if number % 2 else undo)(store, planned.name, rules, now=AT, by=BY)
            stop.set()
            for reader in readers:
                reader.join(60)
        assert len(answers) >= READERS
        for place in range(len(before)):
            assert {answer[place] for answer in answers} <= {before[place], after[place]}
        assert {answer[0] for answer in answers} == {before[0], after[0]}, "both sides were seen meanwhile"
        # The run that is started afterwards finds all of it done.
        with open_store(server.url) as store:
            assert seen(store) == after
        assert run_here(settings, Control(), Watch()).total.events == 0
