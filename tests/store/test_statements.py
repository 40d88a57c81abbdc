"""Statements, their lines as charges, and the record of replays."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from schemas.errors import StoreError
from sinks.store import Store
from tests.store.samples import NOON

START, END = dt.datetime(2026, 11, 1, tzinfo=dt.UTC), dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
BIG = Decimal("99999999999999999999.999999999999999999")


def line(number: int, amount: str, **changes: Any) -> dict[str, Any]:
    plain = {"line_no": number, "category": "error", "description": "50,000 included – é", "detail": '{"tiers":[]}'}
    return {**plain, "quantity": Decimal("12345.5"), "amount": Decimal(amount), **changes}


def statement(*lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    plain = {
        "org_id": 42,
        "contract": "business",
        "period_start": START,
        "period_end": END,
        "currency": "USD",
        "total": sum((row["amount"] for row in lines), Decimal(0)),
        "lines": lines,
        "book_hash": "b",
        "contract_hash": "c",
        "snapshot_id": "s",
        "progress_vector": "{}",
        "complete_to": None,
        "version": (3 << 64) + 10,
        "rated_at": NOON,
    }
    return {**plain, **changes}


def charges(store: Store) -> list[tuple[Any, ...]]:
    return store.query("SELECT line_no, amount FROM charges ORDER BY line_no")


def test_lines_are_read_back_exactly(store: Store) -> None:
    given = statement(
        line(1, "13.7338125"), line(2, "-0.000000000000000001", quantity=BIG), complete_to=NOON + 1, org_id=2**63
    )
    store.write_statements([given])
    [row] = store.query_rows("SELECT * FROM statements FINAL")
    assert row["total"] == Decimal("13.733812499999999999")
    assert row["version"] == (3 << 64) + 10
    assert row["period_start"] == START
    assert row["org_id"] == 2**63
    assert row["complete_to"] == dt.datetime(2026, 11, 22, 12, 0, 0, 1, tzinfo=dt.UTC)
    [first, second] = store.query_rows("SELECT * FROM charges ORDER BY line_no")
    expected = line(1, "13.7338125")
    assert {name: first[name] for name in expected} == expected
    assert (second["amount"], second["quantity"]) == (Decimal("-1E-18"), BIG)
    assert first["snapshot_id"] == "s"
    assert store.query("SELECT org_id FROM charges WHERE org_id = 42") == []


def test_rating_again_replaces_the_statement_whole(store: Store, merged: Callable[[], None]) -> None:
    store.write_statements([statement(line(1, "1"), line(2, "2"), line(3, "3"))])
    store.write_statements([statement(line(1, "1.5"), version=(3 << 64) + 11)])
    for _ in range(2):
        assert charges(store) == [(1, Decimal("1.5"))]
        merged()
    # What knew less cannot come back; a newer price book beats any amount of usage read.
    store.write_statements([statement(line(1, "1"), version=(3 << 64) + 10)])
    assert charges(store) == [(1, Decimal("1.5"))]
    store.write_statements([statement(version=4 << 64)])
    assert charges(store) == []
    assert store.query("SELECT total FROM statements FINAL") == [(Decimal(0),)]


def test_organisations_contracts_and_periods_are_apart(store: Store) -> None:
    store.write_statements(
        [
            statement(line(1, "1")),
            statement(line(1, "2"), org_id=43),
            statement(line(1, "4"), contract="other"),
            statement(line(1, "8"), period_start=END, period_end=END + dt.timedelta(days=31)),
        ]
    )
    assert store.query("SELECT sum(amount) FROM charges") == [(Decimal(15),)]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"total": Decimal("0.0000000000000000001")}, "statements.total"),
        ({"total": Decimal("1e20")}, "statements.total"),
        ({"total": 1.5}, "statements.total = 1.5: not a decimal"),
        ({"total": Decimal("NaN")}, "statements.total"),
        ({"lines": [{**line(1, "1"), "amount": 0.1}]}, "statements.lines.amount"),
        ({"lines": [{"line_no": 1}]}, "statements.lines: amount"),
        ({"version": 2**128}, "statements.version"),
        ({"version": -1}, "statements.version"),
        ({"period_start": dt.datetime(2200, 1, 1, tzinfo=dt.UTC)}, "statements.period_start"),
        ({"period_start": dt.datetime(2026, 1, 1)}, "without a zone"),  # noqa: DTZ001 - that is the case
        ({"period_start": START + dt.timedelta(microseconds=1)}, "whole second"),
        ({"currency": None}, "statements.currency = None"),
        ({"extra": 1}, "extra"),
    ],
)
def test_what_does_not_fit_is_an_error(store: Store, change: dict[str, Any], named: str) -> None:
    with pytest.raises(StoreError, match=named) as caught:
        store.write_statements([statement(line(1, "1")), statement(line(1, "1"), **change)])
    assert "nothing was written" in str(caught.value)
    assert store.query("SELECT count() FROM statements") == [(0,)]


def test_replays_are_recorded_once_a_position(store: Store) -> None:
    row = {
        "topic": "t",
        "partition": "0",
        "offset": 2**63,
        "index": 3,
        "org_id": 1,
        "event_id": "e",
        "outcome": "counted",
        "detail": "",
        "fingerprint": "f",
        "replayed_at": NOON,
        "replayed_by": "someone",
    }
    store.write_replays([row])
    store.write_replays([row, {**row, "index": 4}])
    assert store.query("SELECT offset, `index`, outcome FROM replays FINAL ORDER BY `index`") == [
        (2**63, 3, "counted"),
        (2**63, 4, "counted"),
    ]
    with pytest.raises(StoreError, match="replays: columns outcome"):
        store.write_replays([{name: value for name, value in row.items() if name != "outcome"}])
