"""Interim statements and failures of rating as Arrow tables: the columns of their tables, every value checked."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyarrow as pa

from sinks.columns import INSTANT, MONEY, SECOND, TEXT, U32, U64, U128, Kind, Layout, build, list_of
from sinks.progress_rows import LINE, STATEMENTS

_BY_CHARGE: Final = Kind(
    pa.map_(pa.string(), pa.decimal128(38, 18)),
    lambda parts: [(TEXT.convert(charge), MONEY.convert(amount)) for charge, amount in parts.items()],
)
INTERIM: Final[Layout] = {
    **STATEMENTS,
    "number": U32,
    "threshold": MONEY,
    "billed": _BY_CHARGE,
    "earliest": U128,
}
FAILURE: Final[Layout] = {"reason": TEXT, "category": TEXT, "detail": TEXT}
FAILURES: Final[Layout] = {
    "org_id": U64,
    "period_start": SECOND,
    "period_end": SECOND,
    **{f"failures.{name}": list_of(kind) for name, kind in FAILURE.items()},
    "version": U128,
    "rated_at": INSTANT,
}


def interim_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return interim statements as an Arrow table; `lines` as in `sinks.progress_rows.statement_table`."""
    return build("interim_statements", INTERIM, (_flat(row, "lines", LINE) for row in rows))


def failure_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return failures as an Arrow table: a row a period, its `failures` a sequence of mappings; none: it is rated."""
    return build("rating_failures", FAILURES, (_flat(row, "failures", FAILURE) for row in rows))


def _flat(row: Mapping[str, Any], nested: str, layout: Layout) -> dict[str, Any]:
    flat = dict(row)
    inner = flat.pop(nested)
    return {**flat, **{f"{nested}.{name}": [one[name] for one in inner] for name in layout}}
