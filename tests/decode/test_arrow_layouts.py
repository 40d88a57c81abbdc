"""Streams of a layout that was met before answer what the contract answers, whatever stands in their bytes."""

from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflows.arrow_layouts import MOST
from dataflows.decode import Decoder
from tests.decode.reference import EXAMPLES, KEY, answered, batch_of, expected, settings_of
from tests.decode.test_arrow import START, seeds, stream
from tests.decode.values import NAMES, hexadecimal

STRANGE_NUMBERS = (0, 1, 2, 7, 8, 9, 2**20, 2**31, 2**63 - 1, 2**63, 2**64 - 1, 2**64 - 8)


def flat(chance: Random) -> tuple[list[str], list[pa.DataType]]:
    """Columns of types that a layout can have, in any order."""
    integers = [pa.int64(), pa.int64(), pa.uint64(), pa.int32(), pa.uint32(), pa.int16(), pa.int8()]
    texts = [pa.string(), pa.large_string()]
    words = pa.dictionary(chance.choice([pa.int8(), pa.int32(), pa.uint16()]), chance.choice(texts))
    columns = {
        "event_id": chance.choice(texts),
        "org_id": chance.choice(integers),
        "project_id": chance.choice(integers),
        "category": chance.choice([*texts, words]),
        "quantity": chance.choice(integers),
        "timestamp": pa.timestamp(chance.choice(["s", "ms", "us", "ns"]), chance.choice(["UTC", "Europe/Vienna"])),
    }
    if chance.random() < 0.3:
        columns["source"] = chance.choice(texts)
    names = chance.sample(list(columns), len(columns))
    return names, [columns[name] for name in names]


def cells(chance: Random, name: str, kind: pa.DataType, rows: int, odd: float) -> pa.Array:
    if pa.types.is_integer(kind):
        bits = kind.bit_width - (0 if pa.types.is_unsigned_integer(kind) else 1)
        least = 0 if pa.types.is_unsigned_integer(kind) else -(2**bits)
        strange = [least, max(least, -1), 2**bits - 1, min(2**53, 2**bits - 1), min(2**53 + 1, 2**bits - 1)]
        return pa.array(
            [chance.choice(strange) if chance.random() < odd else chance.randrange(100) for _ in range(rows)], kind
        )
    if pa.types.is_timestamp(kind):
        scale = {"s": (1, 10**6), "ms": (1, 1000), "us": (1, 1), "ns": (1000, 1)}[kind.unit]
        edges = [946_684_800 * 10**6, 4_102_444_800 * 10**6, 0, -1]
        found = [
            chance.choice(edges) if chance.random() < odd else START + chance.randrange(10**9) for _ in range(rows)
        ]
        moved = [micros * scale[0] // scale[1] + chance.choice([0, 0, -1]) for micros in found]
        return pa.array(moved, kind)
    if pa.types.is_dictionary(kind):
        # The same dictionary in every stream, as a producer of few categories sends it.
        words = pa.array([*NAMES, "nothing"], kind.value_type)
        places = [len(NAMES) if chance.random() < odd else chance.randrange(len(NAMES)) for _ in range(rows)]
        return pa.DictionaryArray.from_arrays(pa.array(places, kind.index_type), words)
    strange_texts = ["", "x" * 256, "x" * 257, "nothing", "\0", "größe"]

    def text() -> str:
        if chance.random() < odd:
            return chance.choice(strange_texts)
        return hexadecimal(chance) if name == "event_id" else chance.choice(NAMES) if name == "category" else "relay"

    return pa.array([text() for _ in range(rows)], kind)


def batch(chance: Random, names: list[str], kinds: list[pa.DataType], odd: float) -> pa.RecordBatch:
    rows = chance.choice([1, 2, 7, 8, 9, 30])
    arrays = [cells(chance, name, kind, rows, odd) for name, kind in zip(names, kinds, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names)


def damaged(chance: Random, value: bytes) -> bytes:
    """A few bytes changed: anywhere, or a number of 64 bits, which is what a batch's metadata has most of."""
    broken = bytearray(value)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        kind = chance.randrange(5)
        at = chance.randrange(len(broken))
        if kind == 0:
            broken[at] = chance.randrange(256)
        elif kind == 1:
            broken[at] ^= 1 << chance.randrange(8)
        elif kind in {2, 3}:
            at = at // 8 * 8
            broken[at : at + 8] = chance.choice(STRANGE_NUMBERS).to_bytes(8, "little")
        else:
            cut = max(1, len(broken) - chance.choice([1, 4, 8, 16, 100]))
            broken = broken[:cut] if chance.random() < 0.7 else broken + bytes(chance.choice([1, 8]))
    broken[0] = 255
    return bytes(broken)


@pytest.mark.parametrize("grouped", [False, True])
@given(chance=seeds)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_streams_of_one_layout(grouped: bool, chance: Random) -> None:
    names, kinds = flat(chance)
    odd = chance.choice([0.0, 0.0, 0.1, 0.5])
    decoder = Decoder(settings_of("tally", grouped), KEY)
    values = [
        stream([batch(chance, names, kinds, odd if i else 0.0) for _ in range(chance.choice([1, 1, 2]))])
        for i in range(4)
    ]
    mixed = [values[0], *values, *(damaged(chance, value) for value in values), b"{}", values[1], b"[1,2]"]
    for part in (values[:1], mixed):  # the first teaches the layout
        records = batch_of(part)
        found, wanted = answered(decoder(records)), expected(records, settings_of("tally", grouped))
        for mine, theirs in zip(found, wanted, strict=False):
            assert mine == theirs
        assert len(found) == len(wanted)


@given(chance=seeds, at=st.integers(0, 10**9))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_number_in_the_metadata(chance: Random, at: int) -> None:
    """Every word before the cells, changed: the part of a stream that says where they are."""
    kinds = [pa.string(), pa.int64(), pa.int64(), pa.string(), pa.int64(), pa.timestamp("ms", "UTC")]
    names = ["event_id", "org_id", "project_id", "category", "quantity", "timestamp"]
    whole = batch(chance, names, kinds, 0.0)
    value = stream([whole, whole.slice(0, 1)])
    decoder = Decoder(settings_of("tally"), KEY)
    decoder(batch_of([value]))
    broken = bytearray(value)
    place = 8 + at % (len(value) // 8 - 1) * 8
    number = int.from_bytes(value[place : place + 8], "little") + chance.choice([-8, -1, 1, 8, 2**32, 2**63])
    broken[place : place + 8] = (number % 2**64).to_bytes(8, "little")
    records = batch_of([bytes(broken), value])
    assert answered(decoder(records)) == expected(records, settings_of("tally"))


def known(decoder: Decoder, value: bytes) -> bool:
    records = batch_of([value])
    return bool(decoder._arrow.known(records, np.zeros(1, np.int64)).rows[0])


def test_the_next_stream_like_one_is_known() -> None:
    chance = Random(3)
    names = ["event_id", "org_id", "project_id", "category", "quantity", "timestamp", "source"]
    types = [pa.string(), pa.uint32(), pa.int64(), pa.dictionary(pa.int8(), pa.string()), pa.uint64()]
    types += [pa.timestamp("ns", "UTC"), pa.large_string()]
    decoder = Decoder(settings_of("tally"), KEY)
    first, second = (stream([batch(chance, names, types, 0.0)] * count) for count in (1, 3))
    assert not known(decoder, second)
    decoder(batch_of([first]))
    assert known(decoder, first)
    assert known(decoder, second)
    assert not known(decoder, second[:-8])
    assert not known(decoder, second + bytes(8))
    records = batch_of([second, first, second])
    assert answered(decoder(records)) == expected(records, settings_of("tally"))


def test_odd_rows_of_a_known_stream_are_judged_alone() -> None:
    chance = Random(4)
    names = ["event_id", "org_id", "project_id", "category", "quantity", "timestamp"]
    types = [pa.string(), pa.int64(), pa.int64(), pa.string(), pa.int64(), pa.timestamp("ms", "UTC")]
    decoder = Decoder(settings_of("tally"), KEY)
    good = stream([batch(chance, names, types, 0.0)])
    decoder(batch_of([good]))
    quantity = pa.array([2**60 if i == 3 else i for i in range(9)], pa.int64())
    columns = [cells(chance, name, kind, 9, 0.0) for name, kind in zip(names, types, strict=True)]
    value = stream([pa.RecordBatch.from_arrays([*columns[:4], quantity, columns[5]], names)])
    assert known(decoder, value)
    taken, judged = decoder.taken, decoder.judged
    records = batch_of([value, value])
    assert answered(decoder(records)) == expected(records, settings_of("tally"))
    assert (decoder.taken - taken, decoder.judged - judged) == (16, 2)


def test_the_oldest_of_many_layouts_makes_room() -> None:
    chance = Random(5)
    names = ["event_id", "org_id", "project_id", "category", "quantity", "timestamp"]
    decoder = Decoder(settings_of("tally"), KEY)
    values = []
    for number in range(MOST + 2):
        zone = f"+{number:02}:00"
        types = [pa.string(), pa.int64(), pa.int64(), pa.string(), pa.int64(), pa.timestamp("ms", zone)]
        values.append(stream([batch(chance, names, types, 0.0)]))
    records = batch_of(values)
    assert answered(decoder(records)) == expected(records, settings_of("tally"))
    assert [known(decoder, value) for value in values] == [False] * 2 + [True] * MOST
    # What is learned while a batch is read takes the place of what the batch was surveyed by.
    records = batch_of([*values[2:], *values[:2]])
    assert answered(decoder(records)) == expected(records, settings_of("tally"))
