"""What is kept of a reconciliation: rows of the table `reconciliations`."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from schemas.differences import Checked, Finding, Number, Reconciliation
from sinks.columns import INSTANT, TEXT, U64, Kind, Layout, build
from sinks.store import Store
from tally.units import show_instant

TABLE: Final = "reconciliations"


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise TypeError("not a decimal")
    return Decimal(value)


SIDE: Final = Kind(pa.decimal256(76, 18), _decimal, optional=True)

LAYOUT: Final[Layout] = {
    "at": INSTANT,
    "run_id": TEXT,
    "law": TEXT,
    "place": TEXT,
    "standing": TEXT,
    "places": U64,
    "left_side": SIDE,
    "right_side": SIDE,
    "note": TEXT,
    "asked": TEXT,
}


def keep(store: Store, found: Reconciliation) -> None:
    """Write a run's result; writing it twice changes nothing. Raises what the store raises."""
    store.insert(TABLE, build(TABLE, LAYOUT, _rows(found)))


def _rows(found: Reconciliation) -> Iterator[dict[str, Any]]:
    bounds = {"from": _shown(found.start), "to": _shown(found.end), "topic": found.topic}
    asked = json.dumps({name: bound for name, bound in bounds.items() if bound is not None}, ensure_ascii=False)
    for one in found.checked:
        sides: tuple[Number | None, Number | None] = (None, None) if one.skipped else (one.left, one.right)
        common = {"at": found.at, "run_id": found.run_id, "law": one.law, "asked": asked}
        yield {
            **common,
            "place": "",
            "standing": one.verdict,
            "places": one.places,
            **_sides(*sides),
            "note": _note(one),
        }
        for finding in one.findings:
            yield {**common, **_finding(finding)}


def _finding(found: Finding) -> dict[str, Any]:
    named = {"place": found.place_text(), "standing": found.standing, "places": 1, "note": found.note}
    return {**named, **_sides(found.left, found.right)}


def _note(one: Checked) -> str:
    return one.skipped or (f"{one.unlisted} further findings were counted and not kept" if one.unlisted else "")


def _sides(left: Number | None, right: Number | None) -> dict[str, Number | None]:
    return {"left_side": left, "right_side": right}


def _shown(instant: int | None) -> str | None:
    return None if instant is None else show_instant(instant)
