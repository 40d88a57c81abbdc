"""Arrow streams: the vectorised reading answers what the contract answers, and takes what it is there for."""

from collections.abc import Callable
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflows.decode import Decoder
from tests.decode.reference import EXAMPLES, KEY, answered, batch_of, decoder_of, expected, settings_of
from tests.decode.values import NAMES, broken, event, event_id, hexadecimal, number

START = 1_795_000_000_000_000
seeds = st.integers(0, 2**64 - 1).map(Random)
Column = tuple[str, pa.Array]


def integers(chance: Random, rows: int, odd: float, kinds: tuple[pa.DataType, ...]) -> pa.Array:
    kind = chance.choice(kinds)
    bits = int(kind.bit_width) - (0 if pa.types.is_unsigned_integer(kind) else 1)
    least = 0 if pa.types.is_unsigned_integer(kind) else -(2**bits)

    def cell() -> int | None:
        if chance.random() < odd:
            odd_ones: list[int | None] = [None, least, 2**bits - 1, max(least, -1), min(2**bits - 1, 2**53 + 1)]
            return chance.choice(odd_ones)
        return chance.randrange(min(10**6, 2**bits))

    return pa.array([cell() for _ in range(rows)], kind)


def texts(chance: Random, rows: int, odd: float, good: Callable[[], str]) -> pa.Array:
    strange: list[str | None] = [None, "", "x" * 256, "é" * 130, "é" * 257, "nothing", "\0"]
    cells = [chance.choice(strange) if chance.random() < odd else good() for _ in range(rows)]
    kind = chance.choice([pa.string(), pa.string(), pa.large_string(), pa.string_view()])
    array = pa.array(cells, kind)
    return array.dictionary_encode() if chance.random() < 0.3 and kind != pa.string_view() else array


def instants(chance: Random, rows: int, odd: float) -> pa.Array:
    unit, scale = chance.choice([("s", 10**6), ("ms", 1000), ("us", 1), ("ns", 1)])
    times = 1000 if unit == "ns" else 1
    edges = [946_684_800 * 10**6, 4_102_444_800 * 10**6, 0, -(10**6), 9 * 10**15]

    def cell() -> int | None:
        if chance.random() < odd:
            edge = chance.choice([*edges, None])
            return None if edge is None else edge // scale * times + chance.choice([-1, 0, 0, 1])
        return (START + chance.randrange(10**12)) // scale * times + chance.randrange(times)

    zone = chance.choice(["UTC", "UTC", "UTC", "Europe/Vienna", "+05:30", *([None] if odd else [])])
    return pa.array([cell() for _ in range(rows)], pa.timestamp(unit, zone))


def attributes(chance: Random, rows: int) -> pa.Array:
    members = [chance.choice([None, {"region": "eu"}, {"region": None}, {"region": "us", "n": 7}]) for _ in range(rows)]
    value = chance.choice([pa.int64(), pa.float64(), pa.bool_(), pa.list_(pa.int64())])
    if chance.random() < 0.5:
        some = [None if m is None else {"region": m.get("region")} for m in members]
        return pa.array(some, pa.struct([("region", pa.string()), ("n", value)]))
    pairs = [None if m is None else [("region", str(m.get("region")))] for m in members]
    return pa.array(pairs, pa.map_(pa.string(), pa.string()))


def columns(chance: Random, rows: int) -> list[Column]:
    odd = chance.choice([0.0, 0.0, 0.1, 0.5])
    wide = (pa.int64(), pa.int64(), pa.uint64(), pa.int32(), pa.uint32(), pa.int8(), pa.uint16())
    found = [
        ("event_id", texts(chance, rows, odd, lambda: hexadecimal(chance) if odd == 0 else event_id(chance) or "a")),
        ("org_id", integers(chance, rows, odd, wide)),
        ("project_id", integers(chance, rows, odd, wide)),
        ("category", texts(chance, rows, odd, lambda: chance.choice(NAMES))),
        ("quantity", integers(chance, rows, odd, wide)),
        ("timestamp", instants(chance, rows, odd)),
    ]
    if chance.random() < 0.3:
        found.append(("source", texts(chance, rows, odd, lambda: "relay")))
    if chance.random() < 0.3:
        found.append(("attributes", attributes(chance, rows)))
    if chance.random() < 0.2:
        found.append(("more", pa.array([[1.5]] * rows)))
    for _ in range(chance.choice([0, 0, 0, 1])):
        place = chance.randrange(len(found))
        name, column = found[place]
        kind = chance.randrange(6)
        if kind == 0:
            del found[place]
        elif kind == 1:
            found.append((name, column))
        elif kind == 2:
            found[place] = (name, pa.array([1.5, float("nan")] * rows)[:rows])
        elif kind == 3:
            found[place] = (name, pa.array(["2026-11-22T10:00:00Z"] * rows))
        elif kind == 4:
            found[place] = (name, pa.nulls(rows))
        else:
            found[place] = (name.upper(), column)
    chance.shuffle(found)
    return found


def stream(batches: list[pa.RecordBatch], compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression, emit_dictionary_deltas=False)
    with pa.ipc.new_stream(sink, batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def value(chance: Random) -> bytes:
    rows = chance.randrange(8)
    found = columns(chance, rows + 4)
    whole = pa.RecordBatch.from_arrays([array for _, array in found], [name for name, _ in found])
    cuts = [whole.slice(chance.randrange(4), rows), whole.slice(0, 0), whole.slice(chance.randrange(3), 2)]
    return stream(cuts[: chance.randint(1, 3)], chance.choice([None, None, "lz4", "zstd"]))


@pytest.mark.parametrize(("name", "grouped"), [("tally", False), ("tally", True), ("sentry-outcomes", False)])
@given(chance=seeds)
@settings(max_examples=max(1, EXAMPLES // 2), deadline=None, suppress_health_check=list(HealthCheck))
def test_any_stream(name: str, grouped: bool, chance: Random) -> None:
    records = [event(chance, "tally", calm=True) if chance.random() < 0.3 else value(chance) for _ in range(2)]
    if chance.random() < 0.3:
        records[0] = b"\xff" + broken(chance, records[0])[1:]
    batch = batch_of(records)
    found, wanted = answered(decoder_of(name, grouped)(batch)), expected(batch, settings_of(name, grouped))
    for mine, theirs in zip(found, wanted, strict=False):
        assert mine == theirs
    assert len(found) == len(wanted)


def ordinary(chance: Random, rows: int, **changed: Any) -> bytes:
    arrays = {
        "event_id": pa.array([hexadecimal(chance) for _ in range(rows)]),
        "org_id": pa.array([number(chance) % 10**6 for _ in range(rows)], pa.uint32()),
        "project_id": pa.array([chance.randrange(10**6) for _ in range(rows)]),
        "category": pa.array(chance.choices(NAMES, k=rows)).dictionary_encode(),
        "quantity": pa.array([chance.randrange(100) for _ in range(rows)], pa.uint64()),
        "timestamp": pa.array([START + 1000 * i for i in range(rows)], pa.timestamp("us", "UTC")),
        "source": pa.array(["relay"] * rows),
        "attributes": pa.array([{"region": "eu", "n": 1}] * rows),
    }
    arrays.update(changed)
    return stream([pa.RecordBatch.from_pydict(arrays)])


def test_ordinary_streams_are_taken() -> None:
    chance = Random(1)
    decoder = Decoder(settings_of("tally"), KEY)
    batch = batch_of([ordinary(chance, 500), ordinary(chance, 1)])
    assert answered(decoder(batch)) == expected(batch, settings_of("tally"))
    assert (decoder.taken, decoder.judged) == (501, 0)


def test_odd_rows_are_judged_alone() -> None:
    chance = Random(2)
    quantity = pa.array([None if i % 100 == 7 else 2**60 if i % 100 == 8 else i for i in range(500)], pa.int64())
    decoder = Decoder(settings_of("tally"), KEY)
    batch = batch_of([b"{}", ordinary(chance, 500, quantity=quantity), b"[1,2]"])
    events = decoder(batch)
    assert answered(events) == expected(batch, settings_of("tally"))
    assert (decoder.taken, decoder.judged) == (490, 13)
