"""A real store in which every law has something to compare, and the means to plant faults in it and take them out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from dataflows.reading import Control
from schemas.differences import Finding, Law, Reconciliation, Standing
from schemas.log import LogId
from schemas.period import Period
from sinks.store import Store, open_store
from tally.deadletters import Selection
from tally.rated import Prices, rate_work
from tally.rating import read_known
from tally.reconcile.asking import Asked, Asking
from tally.reconcile.log_laws import Logs
from tally.reconcile.run import reconcile
from tally.replay import Terms, replay
from tally.running import Watch, run_here
from tally.settings import Settings, load_settings
from tally.statement_store import StatementStore
from tally.work import work_of
from tests.flow.traffic import write_log
from tests.rater.books import book, contract, contracts

AT: Final = 1_800_000_000_000_000
"""The instant of every run."""
NOVEMBER: Final = Period.month(2026, 11)
LOG: Final = LogId("in", "0.ndjson")

_PRICE = {"model": "per_unit", "unit_amount": "0.00037"}
BOOK: Final = book(
    {name: {"category": name, "price": _PRICE} for name in ("error", "span", "transaction", "attachment")}
)
AGREED: Final = contracts(contract(), contract(1, invoice_thresholds={"amounts": [1000]}))
"""One organisation is billed before the month ends."""

TABLES: Final = (
    "usage_windows",
    "progress",
    "dead_letters",
    "replays",
    "statements",
    "interim_statements",
    "control_totals",
)


def build(folder: Path) -> Settings:
    """Run two logs of traffic into a store, replay conflicts, rate the month, and report all as sent."""
    for number in range(2):
        write_log(folder / "in" / f"{number}.ndjson", 2_000, seed=number)
    settings = load_settings(store=f"chdb:{folder / 'store'}", sources=(str(folder / "in"),))
    run_here(settings, Control(), Watch())
    with open_store(settings.store) as store:
        conflicts = Selection(reasons=("conflicting_duplicate",))
        for _ in replay(store, conflicts, Terms(settings.meter_settings(), AT, "ada", accept=True)):
            pass
        rate(store, still_open=True)
        rate(store)
        store.command(
            "INSERT INTO control_totals SELECT topic, category, toStartOfMinute(window_start), 'relay', 'one', 1, "
            "sum(events), sum(quantity), now64(6) FROM usage_windows FINAL WHERE topic = 'in' "
            "GROUP BY topic, category, toStartOfMinute(window_start)"
        )
        for table in TABLES:
            store.command(f"CREATE TABLE kept_{table} AS {table}")
            store.command(f"INSERT INTO kept_{table} SELECT * FROM {table} FINAL")
    return settings


def rate(store: Store, *, still_open: bool = False) -> None:
    """Rate the month, as one of which nobody knows how complete it is where it is still open."""
    with StatementStore(store, BOOK, read_known(store), AT) as statements:
        stamp = replace(statements.stamp, complete_to=None) if still_open else statements.stamp
        for work in work_of(store, BOOK, AGREED, NOVEMBER):
            rated = rate_work(work, Prices(BOOK, AGREED), stamp)
            assert rated.complete
            statements.keep(rated)


def restore(store: Store) -> None:
    """Take out whatever was planted."""
    for table in (*TABLES, "control_instances", "reconciliations"):
        store.command(f"TRUNCATE TABLE {table}")
    for table in TABLES:
        store.command(f"INSERT INTO {table} SELECT * FROM kept_{table}")


def delete(store: Store, table: str, where: str) -> None:
    before = store.query(f"SELECT count() FROM {table}")
    store.command(f"ALTER TABLE {table} DELETE WHERE {where} SETTINGS mutations_sync = 2")
    assert store.query(f"SELECT count() FROM {table}") != before, "nothing was deleted"


def alter(store: Store, table: str, change: str, where: str) -> None:
    """Change rows where they are; a changed key column is not possible so."""
    before = store.query(f"SELECT * FROM {table} ORDER BY ALL")
    store.command(f"ALTER TABLE {table} UPDATE {change} WHERE {where} SETTINGS mutations_sync = 2")
    assert store.query(f"SELECT * FROM {table} ORDER BY ALL") != before, "nothing was changed"


def insert(store: Store, table: str, changed: str, where: str) -> None:
    """Insert rows that are there once more, changed."""
    before = store.query(f"SELECT count() FROM {table}")
    store.command(f"INSERT INTO {table} SELECT * REPLACE ({changed}) FROM (SELECT * FROM {table} FINAL WHERE {where})")
    assert store.query(f"SELECT count() FROM {table}") != before, "nothing was inserted"


def check(store: Store, asked: Asked | None = None, logs: Logs | None = None) -> Reconciliation:
    return reconcile(Asking(store, asked or Asked(), at=AT), logs)


def named(found: Reconciliation, standing: Standing = "difference", law: Law | None = None) -> list[Finding]:
    return [
        finding
        for one in found.checked
        for finding in one.findings
        if finding.standing == standing and law in {None, one.law}
    ]


def differing(found: Reconciliation) -> set[Law]:
    return {one.law for one in found.checked if one.differences}


def only(findings: Sequence[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]
