"""A generation that starts in the middle of a log: crashes in it change nothing, and both together count each event."""

import hashlib
import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.resume import start_of
from dataflows.sources.base import ListedLog
from schemas.catalogue import Catalogue, Keep
from schemas.metering import MeterSettings
from schemas.progress import Progress
from tests import oracle
from tests.metering.logs import end_of, logs, rules
from tests.metering.simulation import LOG, Run, Store, settings_of, stable
from tests.metering.test_properties import many


def run_to(store: Store, records: list[oracle.Record], settings: MeterSettings, end: int) -> None:
    run = Run(records, settings, store, end)
    while not run.done:
        run.step(len(records) + 1)
    run.flush()


def run_through_crashes(
    store: Store, records: list[oracle.Record], settings: MeterSettings, end: int, chance: random.Random
) -> None:
    for crashes in range(1000):
        run = Run(records, settings, store, end)
        danger = 0.15 if crashes < 20 else 0.0
        crashed = False
        while not run.done and not crashed:
            run.step(chance.choice([1, 2, 3, 10]))
            if chance.random() < 0.6:
                crashed = not run.flush(lambda danger=danger: chance.random() < danger)  # type: ignore[misc]
        if not crashed and run.flush():
            return


def second_generation(first: Progress, settings: MeterSettings, end: int) -> Progress:
    listed = ListedLog(LOG, 0, end, False, 1, {})
    return start_of(listed, first, settings, rows_past_progress=False).progress


@many
@given(logs(), rules, rules, st.integers(0, 30), st.randoms(use_true_random=False))
def test_a_second_generation_survives_crashes(
    records: list[oracle.Record], before: oracle.Rules, after: oracle.Rules, cut: int, chance: random.Random
) -> None:
    first, second, end = settings_of(before), settings_of(after), end_of(records)
    if not records or first.fingerprint() == second.fingerprint():
        return
    place = records[cut].offset if cut < len(records) else end
    store = Store()
    store.progress = replace(store.progress, fingerprint=first.fingerprint())
    run_to(store, records[:cut], first, place)
    start = second_generation(store.progress, second, end)
    assert (start.generation, start.start_offset) == (2, store.progress.next_offset)
    undisturbed, crashed = Store(progress=start), Store(progress=start)
    run_to(undisturbed, records, second, end)
    run_through_crashes(crashed, records, second, end, chance)
    assert crashed.rows == undisturbed.rows
    assert crashed.kept == undisturbed.kept
    assert crashed.letters == undisturbed.letters
    assert stable(crashed.progress) == stable(undisturbed.progress)
    counts = crashed.progress.counts
    assert counts.balances()
    assert counts.accepted == sum(row.events for row in crashed.rows.values())
    # Every record is counted by exactly one of the two, and every event kept by one of them at most.
    assert store.progress.counts.records + counts.records == len(records)
    assert not store.kept.keys() & crashed.kept.keys()


@pytest.mark.parametrize(
    "changed",
    [
        None,
        Keep(),
        Keep(value="user", amount="price"),
        Keep(value="account", amount="price"),
        Keep(value="user", amount="cost"),
        Keep(value="user"),
        Keep(amount="user"),
    ],
    ids=str,
)
def test_a_declaration_that_changed_starts_a_generation(changed: Keep | None) -> None:
    declared = settings_of(oracle.Rules(kept=("span",)))
    categories = tuple(
        category.model_copy(update={"keep": changed}) if category.name == "span" else category
        for category in declared.catalogue.categories
    )
    other = replace(declared, catalogue=Catalogue(categories))
    listed = ListedLog(LOG, 0, 9, False, 1, {})
    stored = start_of(listed, None, declared, rows_past_progress=False).progress
    start = start_of(listed, replace(stored, next_offset=5), other, rows_past_progress=False).progress
    same = changed == Keep(value="user", amount="price")
    assert (start.generation, start.start_offset) == ((1, 0) if same else (2, 5))


def test_what_nobody_keeps_leaves_the_fingerprint_as_it_was() -> None:
    # Of a store that was written before there was anything to keep: it must not start a generation.
    plain = settings_of(oracle.Rules())
    text = json.dumps(sorted((c.id, c.name) for c in plain.catalogue.categories))
    assert plain.catalogue.digest() == hashlib.sha256(text.encode()).hexdigest()[:16]
