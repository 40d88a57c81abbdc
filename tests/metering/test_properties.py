"""The five properties of the meter, over random logs, batchings, crash points and interleavings."""

import os
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.progress import Counts
from tests import oracle
from tests.metering.logs import end_of, logs, rules
from tests.metering.simulation import Run, Store, settings_of, stable, undisturbed

EXAMPLES = int(os.environ.get("TALLY_TEST_EXAMPLES", "400"))
many = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def check_against_oracle(store: Store, expected: oracle.Outcome) -> None:
    """Property 5: rows, kept events, verdict counts and dead letters are the oracle's."""
    expected.check()
    assert store.rows == expected.rows
    assert store.kept == expected.kept
    counts = store.progress.counts
    assert counts == Counts(
        records=expected.counts["records"],
        events=expected.counts["events"],
        accepted=expected.counts["accepted"],
        late=expected.counts["late"],
        duplicates=expected.counts["duplicates"],
        not_billable=expected.not_billable,
        rejected=expected.rejected,
        quantity=expected.counts["quantity"],
    )
    # Property 4, conservation.
    assert counts.balances()
    assert counts.accepted == sum(row.events for row in store.rows.values())
    letters = {at: f"rejected:{letter.reason}" for at, letter in store.letters.items()}
    assert letters == {at: word for at, word in expected.verdicts.items() if word.startswith("rejected")}
    progress = store.progress
    assert (progress.clock, progress.max_timestamp) == (expected.clock, expected.max_timestamp)
    assert progress.watermark == expected.watermark


@many
@given(logs(), rules)
def test_oracle_and_conservation(records: list[oracle.Record], given_rules: oracle.Rules) -> None:
    store = undisturbed(records, settings_of(given_rules), end_of(records))
    check_against_oracle(store, oracle.meter(records, given_rules))


@many
@given(logs(), rules, st.randoms(use_true_random=False))
def test_batch_invariance(records: list[oracle.Record], given_rules: oracle.Rules, chance: random.Random) -> None:
    whole = undisturbed(records, settings_of(given_rules), end_of(records))
    store = Store()
    run = Run(records, settings_of(given_rules), store, end_of(records))
    while not run.done:
        run.step(chance.choice([1, 1, 2, 3, 10]))
        if chance.random() < 0.5:
            run.flush()
    run.flush()
    assert store.rows == whole.rows
    assert store.kept == whole.kept
    assert store.letters == whole.letters
    assert stable(store.progress) == stable(whole.progress)


@many
@given(logs(), rules, st.randoms(use_true_random=False))
def test_crash_invariance(records: list[oracle.Record], given_rules: oracle.Rules, chance: random.Random) -> None:
    """Crashes anywhere: between batches, between and inside the two writes, again while replaying."""
    store = Store()
    crashes = 0
    while True:
        run = Run(records, settings_of(given_rules), store, end_of(records))
        crashed = False
        # After enough crashes let it finish, so that the test ends.
        danger = 0.15 if crashes < 30 else 0.0
        while not run.done and not crashed:
            run.step(chance.choice([1, 1, 2, 3, 10]))
            if chance.random() < 0.6:
                crashed = not run.flush(lambda danger=danger: chance.random() < danger)  # type: ignore[misc]
            crashed = crashed or chance.random() < danger
        if not crashed and run.flush():
            break
        crashes += 1
    check_against_oracle(store, oracle.meter(records, given_rules))
    assert stable(store.progress) == stable(undisturbed(records, settings_of(given_rules), end_of(records)).progress)


@many
@given(logs(), rules, st.randoms(use_true_random=False))
def test_zombie_invariance(records: list[oracle.Record], given_rules: oracle.Rules, chance: random.Random) -> None:
    """Up to three workers on one partition, started at any time, interleaved anyhow, some dying on the way."""
    store = Store()
    end = end_of(records)
    workers: list[Run] = []
    started = 0
    while started < 6 or workers:
        if started < 6 and (len(workers) < 3 and (not workers or chance.random() < 0.3)):
            workers.append(Run(records, settings_of(given_rules), store, end))
            started += 1
        worker = chance.choice(workers)
        if not worker.done:
            worker.step(chance.choice([1, 2, 5]))
        dies = started > 1 and chance.random() < 0.1
        if dies or chance.random() < 0.6:
            finished = worker.flush(lambda dies=dies: dies and chance.random() < 0.3)  # type: ignore[misc]
            if dies or (worker.done and finished):
                workers.remove(worker)
    last = Run(records, settings_of(given_rules), store, end)
    while not last.done:
        last.step(3)
    last.flush()
    check_against_oracle(store, oracle.meter(records, given_rules))
