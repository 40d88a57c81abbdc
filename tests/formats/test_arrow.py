"""Arrow IPC streams: what a column may be, and that a row is judged as the JSON that it stands for."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.formats.base import Decoded, Rejected
from schemas.formats.judge import Judged, judge
from tests.formats.samples import ABSENT, AT, AT_MICROS, DECODED, JUDGES, ROWS, reason, settings

COLUMNS: dict[str, pa.Array] = {
    "event_id": pa.array(["a1"]),
    "org_id": pa.array([1], pa.int64()),
    "project_id": pa.array([7], pa.int64()),
    "category": pa.array(["error"]),
    "quantity": pa.array([3], pa.int64()),
    "timestamp": pa.array([AT_MICROS], pa.timestamp("us", "UTC")),
}


def stream(columns: dict[str, pa.Array], batches: int = 1, **options: Any) -> bytes:
    batch = pa.record_batch(list(columns.values()), names=list(columns))
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for _ in range(batches):
            writer.write_batch(batch)
    return bytes(out.getvalue())


def judged(changes: dict[str, Any], *group_by: str) -> list[Judged]:
    columns = {name: column for name, column in {**COLUMNS, **changes}.items() if column is not ABSENT}
    return judge(stream(columns), settings("tally", *group_by))


TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
GOOD: list[dict[str, pa.Array]] = [
    {},
    *[{"category": pa.array(["error"], kind), "event_id": pa.array(["a1"], kind)} for kind in TEXTS],
    *[{"quantity": pa.array([3], kind), "org_id": pa.array([1], kind)} for kind in INTEGERS],
    {"timestamp": pa.array([AT_MICROS // 1000], pa.timestamp("ms", "UTC"))},
    {"timestamp": pa.array([AT_MICROS * 1000 + 999], pa.timestamp("ns", "UTC"))},
    {"timestamp": pa.array([AT_MICROS], pa.timestamp("us", "America/New_York"))},
    {"timestamp": pa.array([AT])},
    {"source": pa.nulls(1, pa.string()), "attributes": pa.nulls(1, pa.struct([("a", pa.string())]))},
    {"source": pa.nulls(1), "attributes": pa.nulls(1)},
    {"other": pa.array([[1]])},
]


@pytest.mark.parametrize("changes", GOOD)
def test_columns_that_are_read(changes: dict[str, pa.Array]) -> None:
    assert [one.outcome for one in judged(changes)] == [DECODED["tally"]]


BAD: list[tuple[dict[str, Any], str]] = [
    *[({name: ABSENT}, "missing_field") for name in COLUMNS],
    *[({name: pa.nulls(1, column.type)}, "wrong_type") for name, column in COLUMNS.items()],
    ({"event_id": pa.array([""])}, "missing_field"),
    ({"event_id": pa.array([1])}, "wrong_type"),
    ({"event_id": pa.array([b"a1"])}, "wrong_type"),
    ({"event_id": pa.array([AT_MICROS], pa.timestamp("us", "UTC"))}, "wrong_type"),
    ({"org_id": pa.array(["1"])}, "wrong_type"),
    ({"org_id": pa.array([1.0])}, "wrong_type"),
    ({"org_id": pa.array([True])}, "wrong_type"),
    ({"org_id": pa.array([-1])}, "wrong_type"),
    ({"org_id": pa.array([2**63], pa.uint64())}, "wrong_type"),
    ({"org_id": pa.array([Decimal(1)])}, "wrong_type"),
    ({"category": pa.array([b"error"])}, "wrong_type"),
    ({"category": pa.array(["nope"])}, "unknown_category"),
    ({"quantity": pa.array([3.0])}, "bad_quantity"),
    ({"quantity": pa.array([3.0], pa.float32())}, "bad_quantity"),
    ({"quantity": pa.array([float("nan")])}, "wrong_type"),
    ({"quantity": pa.array([-1])}, "bad_quantity"),
    ({"quantity": pa.array([2**53 + 1])}, "bad_quantity"),
    ({"quantity": pa.array([2**64 - 1], pa.uint64())}, "bad_quantity"),
    ({"quantity": pa.array([Decimal(3)])}, "wrong_type"),
    ({"timestamp": pa.array([AT_MICROS], pa.timestamp("us"))}, "wrong_type"),
    ({"timestamp": pa.array([AT_MICROS])}, "wrong_type"),
    ({"timestamp": pa.array([datetime(2026, 11, 22, tzinfo=UTC).date()])}, "wrong_type"),
    ({"timestamp": pa.array([-1], pa.timestamp("us", "UTC"))}, "bad_timestamp"),
    ({"timestamp": pa.array([2**63 - 1], pa.timestamp("s", "UTC"))}, "bad_timestamp"),
    ({"timestamp": pa.array(["then"])}, "bad_timestamp"),
    ({"source": pa.array([1])}, "wrong_type"),
    ({"attributes": pa.array(["{}"])}, "wrong_type"),
    ({"attributes": pa.array([{"a": [1]}])}, "wrong_type"),
    ({"attributes": pa.array([{"a": {"b": 1}}])}, "wrong_type"),
    ({"attributes": pa.array([{"a": float("inf")}])}, "wrong_type"),
    ({"attributes": pa.array([{"a": Decimal("1.5")}])}, "wrong_type"),
]


@pytest.mark.parametrize(("changes", "expected"), BAD)
def test_columns_that_are_refused(changes: dict[str, Any], expected: str) -> None:
    (one,) = judged(changes)
    assert reason(one.outcome) == expected
    # What is kept of the row replays to the same answer.
    assert [again.outcome for again in JUDGES["tally"](one.raw)] == [one.outcome]


def test_attributes_are_a_struct_or_a_map() -> None:
    struct = pa.array([{"region": "eu", "tier": 2, "rate": 1.50, "none": None}])
    pairs = pa.array(
        [[("region", "eu"), ("tier", "1"), ("tier", "2"), ("none", None)]], pa.map_(pa.string(), pa.string())
    )
    group = ("none", "rate", "region", "tier")
    (one,), (two,) = judged({"attributes": struct}, *group), judged({"attributes": pairs}, *group)
    assert one.outcome == replace(DECODED["tally"], dimensions='{"rate":1.5,"region":"eu","tier":2}')
    assert two.outcome == replace(DECODED["tally"], dimensions='{"region":"eu","tier":"2"}')


def test_the_last_of_two_columns_of_one_name_counts() -> None:
    batch = pa.record_batch([*COLUMNS.values(), pa.array(["span"])], names=[*COLUMNS, "category"])
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    (one,) = judge(bytes(out.getvalue()), settings())
    assert one.outcome == replace(DECODED["tally"], category=ROWS["span"])


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_every_row_of_every_batch_is_an_event(compression: str | None) -> None:
    found = judge(stream(COLUMNS, batches=3, compression=compression), settings())
    assert [one.outcome for one in found] == [DECODED["tally"]] * 3
    row = {name: column.to_pylist()[0] for name, column in COLUMNS.items()} | {
        "timestamp": "2026-11-22T10:00:00.123000Z"
    }
    assert found[0].raw == json.dumps(row, sort_keys=True, separators=(",", ":")).encode()


def test_sliced_columns_are_read_from_their_own_rows() -> None:
    attributes = pa.array([[("a", "x"), ("b", "y")], None, [("a", "z")]], pa.map_(pa.string(), pa.string()))
    structs = pa.array([{"a": "x"}, None, {"a": "z"}])
    for column in (attributes, structs):
        batch = pa.record_batch(
            [pa.concat_arrays([cells] * 3) for cells in COLUMNS.values()] + [column], names=[*COLUMNS, "attributes"]
        ).slice(1)
        out = pa.BufferOutputStream()
        with pa.ipc.new_stream(out, batch.schema) as writer:
            writer.write_batch(batch)
        found = judge(bytes(out.getvalue()), settings("tally", "a"))
        assert [one.outcome.dimensions for one in found if isinstance(one.outcome, Decoded)] == ["", '{"a":"z"}']


def test_a_stream_that_cannot_be_read_is_one_event_with_its_whole_bytes() -> None:
    whole = stream(COLUMNS, batches=2)
    for value in (whole[:-40], whole[:200], b"\xff", b"\xff\xff\xff\xff", b"\xff\xfe{\n}\n", b"\xff" * 1000):
        (one,) = judge(value, settings())
        assert one.raw == value
        assert reason(one.outcome) == "not_json"


def test_a_stream_without_rows_is_one_rejected_event() -> None:
    for value in (stream(COLUMNS, batches=0), stream({name: column[:0] for name, column in COLUMNS.items()})):
        assert [(one.raw, reason(one.outcome)) for one in judge(value, settings())] == [(value, "not_an_object")]


@pytest.mark.parametrize("name", ["sentry-outcomes", "cloudevents"])
def test_only_the_native_format_takes_arrow(name: str) -> None:
    value = stream(COLUMNS)
    (one,) = judge(value, settings(name))
    assert one.raw == value
    assert isinstance(one.outcome, Rejected)
    assert (one.outcome.reason, name in one.outcome.detail) == ("not_json", True)


@given(st.data())
def test_damaged_streams_are_judged(data: st.DataObject) -> None:
    attributes = pa.array([{"region": "eu"}])
    value = bytearray(stream({**COLUMNS, "attributes": attributes}, batches=2))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(1, len(value) - 1))] = data.draw(st.integers(0, 255))
    assert JUDGES["tally"](bytes(value))


cells = st.fixed_dictionaries(
    {
        "event_id": st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=3)),
        "org_id": st.one_of(st.none(), st.integers(-1, 2)),
        "project_id": st.one_of(st.none(), st.integers(-1, 2**63 - 1)),
        "category": st.one_of(st.none(), st.sampled_from(["error", "span", "nope"])),
        "quantity": st.one_of(st.none(), st.integers(-1, 2), st.just(2**53 + 1)),
        "timestamp": st.one_of(st.none(), st.just(AT_MICROS), st.integers(-(2**62), 2**62)),
        "source": st.one_of(st.none(), st.just(""), st.just("relay")),
        "attributes": st.one_of(st.none(), st.just({"a": 1.5, "b": None}), st.just({"a": None, "b": "x"})),
    }
)


@given(st.lists(cells, min_size=1, max_size=6))
def test_each_row_replays_to_the_same_answer(rows: list[dict[str, Any]]) -> None:
    kinds = {**{name: column.type for name, column in COLUMNS.items()}, "source": pa.string()}
    kinds["attributes"] = pa.struct([("a", pa.float64()), ("b", pa.string())])
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in kinds.items()}
    found = judge(stream(columns), settings("tally", "a", "b"))
    assert len(found) == len(rows)
    for one in found:
        assert [again.outcome for again in judge(one.raw, settings("tally", "a", "b"))] == [one.outcome]
