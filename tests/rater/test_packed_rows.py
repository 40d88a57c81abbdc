"""Rows as a table by the column: what the checking way makes, its errors too; and rows that another process packed."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import StoreError
from sinks.progress_rows import LINE, statement_table
from sinks.store import open_store
from tally.packed_rows import KEY, Row, packed, table_of, unpacked, write_rows

START = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
money = st.decimals(-(10**12), 10**12, places=6, allow_nan=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
lines = st.lists(
    st.builds(
        lambda text, quantity, amount: {"category": text, "description": text, "quantity": quantity, "amount": amount},
        texts,
        money,
        money,
    ),
    max_size=3,
)


def row(org_id: int, found: list[dict[str, Any]], total: Decimal | int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "org_id": org_id,
        "contract": "c",
        "period_start": START,
        "period_end": START + dt.timedelta(days=30),
        "currency": "USD",
        "total": total,
        "lines": [{"line_no": number, **line, "detail": "{}"} for number, line in enumerate(found, 1)],
        "book_hash": "b",
        "contract_hash": "h",
        "snapshot_id": "1-0",
        "progress_vector": "{}",
        "complete_to": None,
        "version": (1 << 64) + org_id,
        "rated_at": 1_700_000_000_000_000,
        **changes,
    }


rows_of = st.lists(
    st.builds(
        row,
        st.integers(0, 2**63 - 1),
        lines,
        money | st.integers(-5, 5),
        complete_to=st.none() | st.integers(0, 10**12).map(lambda us: START + dt.timedelta(microseconds=us)),
    ),
    min_size=1,
    max_size=6,
)


@given(rows_of)
def test_a_table_is_that_of_the_checking_way(rows: list[dict[str, Any]]) -> None:
    assert table_of(rows).equals(statement_table(rows))
    assert table_of(rows).schema.equals(statement_table(rows).schema)


@given(rows_of)
def test_a_row_that_was_packed_says_what_it_said(rows: list[dict[str, Any]]) -> None:
    found = unpacked(packed(rows), [{name: one[name] for name in KEY} for one in rows])
    for one, expected in zip(found, rows, strict=True):
        assert list(one) == list(expected)
        said = {**one, "rated_at": expected["rated_at"]}
        assert said == {**expected, "lines": list(expected["lines"])}
        assert one["rated_at"] == dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=dt.UTC)


LINE_1 = {"category": "error", "description": "Errors", "quantity": Decimal(1), "amount": Decimal("0.5")}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"org_id": -1}, "statements.org_id = -1"),
        ({"contract": None}, "statements.contract = None"),
        ({"currency": "\ud800"}, "statements.currency"),
        ({"total": Decimal("1e-19")}, "statements.total"),
        ({"total": None}, "statements.total"),
        ({"total": 0.5}, "statements.total = 0.5"),
        ({"rated_at": None}, "statements.rated_at"),
        ({"version": 1 << 128}, "statements.version"),
        ({"period_start": START + dt.timedelta(microseconds=1)}, "statements.period_start"),
        ({"more": 1}, "columns more are missing or unknown"),
        ({"lines": [{**LINE_1, "line_no": 1}]}, "detail are missing or unknown"),
        ({"lines": [{**LINE_1, "line_no": 1, "detail": "{}", "extra": 1}]}, "extra are missing or unknown"),
        ({"lines": [{**LINE_1, "line_no": 1, "detail": "", "amount": 0.5}]}, "statements.lines.amount"),
        ({"lines": [{**LINE_1, "line_no": 1, "detail": None}]}, "statements.lines.detail"),
        ({"lines": [{**LINE_1, "line_no": 2**32, "detail": ""}]}, "statements.lines.line_no"),
    ],
)
def test_what_does_not_fit_its_column_is_an_error_that_says_so(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(StoreError, match=told):
        table_of([row(1, [LINE_1]), {**row(2, [LINE_1]), **wrong}])


def test_rows_of_both_kinds_are_written_in_one_insert(tmp_path: Any) -> None:
    mine = [row(org, [{**LINE_1, "amount": Decimal(org)}], Decimal(org)) for org in range(1, 9)]
    keys: list[Row] = [{name: one[name] for name in KEY} for one in mine]
    first, second = unpacked(packed(mine[:3]), keys[:3]), unpacked(packed(mine[3:6]), keys[3:6])
    with open_store(f"chdb:{tmp_path / 'store'}") as store:
        store.migrate()
        inserts: list[tuple[str, int]] = []
        store.inserted = lambda name, count, *_: inserts.append((name, count))
        write_rows(store, [first[0], first[2], mine[6], *second, mine[7]])
        write_rows(store, [])
        assert inserts == [("statements", 7)]
        kept = store.query(
            "SELECT org_id, total, `lines.amount`, `lines.line_no` FROM statements FINAL ORDER BY org_id"
        )
    assert kept == [(org, Decimal(org), [Decimal(org)], [1]) for org in (1, 3, 4, 5, 6, 7, 8)]
    assert set(LINE) == set(mine[0]["lines"][0])
