"""The fast paths take what they are there for, so that a silent fall to the slow one is noticed."""

from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pytest

from dataflows.decode import Decoder
from dataflows.scan import NOT_TAKEN
from schemas.catalogue import Catalogue, Category
from schemas.log import LogId, RecordBatch
from schemas.metering import MeterSettings
from tests.decode.reference import GROUPS, KEY, answered, batch_of, expected, settings_of
from tests.decode.values import hexadecimal, text

START = datetime(2026, 11, 22, tzinfo=UTC)
NAMES = settings_of("tally").catalogue.names


def instant(chance: Random) -> str:
    when = START + timedelta(microseconds=chance.randrange(86_400 * 10**6))
    zone = chance.choice(["Z", "Z", "Z", "+00:00", "-05:30"])
    return when.replace(tzinfo=None).isoformat(timespec=chance.choice(["milliseconds", "microseconds"])) + zone


def ordinary_tally(chance: Random) -> dict[str, object]:
    found: dict[str, object] = {
        "event_id": chance.choice([hexadecimal(chance), f"evt_{chance.randrange(10**9)}", "grün-1"]),
        "org_id": chance.randrange(10 ** chance.randint(1, 7)),
        "project_id": chance.randrange(10 ** chance.randint(1, 10)),
        "category": chance.choice(NAMES),
        "quantity": chance.randrange(10 ** chance.randint(1, 12)),
        "timestamp": instant(chance),
    }
    if chance.random() < 0.3:
        found["source"] = chance.choice(["relay-4", 'a "quoted" one', "größe"])
    if chance.random() < 0.3:
        found["attributes"] = {
            "region": chance.choice(["eu", "us"]),
            "plan": chance.randrange(9),
            "rate": 0.25,
            "o\n": "\n",
        }
        del found["attributes"]["o\n"]  # type: ignore[attr-defined]
    if chance.random() < 0.2:
        found["sdk"] = {"name": "sentry", "versions": [1, 2.5e-7, None, {}], "emoji": "😀\n"}
    return found


def ordinary_outcome(chance: Random) -> dict[str, object]:
    found: dict[str, object] = {"timestamp": instant(chance), "outcome": chance.choice([0, 0, 0, 1, 2, 3, 4, 5, 6])}
    for name, value in (
        ("org_id", chance.randrange(10**6)),
        ("project_id", chance.randrange(10**7)),
        ("key_id", chance.randrange(10**7)),
        ("reason", "quota: größer"),
        ("event_id", hexadecimal(chance)),
        ("category", chance.randrange(39)),
        ("quantity", chance.randrange(1, 10**5)),
        ("source", "relay"),
    ):
        kind = chance.randrange(4)
        if kind:
            found[name] = value if kind > 1 or name == "source" else None
    return found


ORDINARY = {"tally": ordinary_tally, "sentry-outcomes": ordinary_outcome}
COUNT = 2_000


@pytest.mark.parametrize("name", ["tally", "sentry-outcomes"])
@pytest.mark.parametrize("shape", ["one", "array", "lines", "spaced"])
def test_ordinary_traffic_is_scanned(name: str, shape: str) -> None:
    chance = Random(f"{name} {shape}")
    events = [text(ORDINARY[name](chance)) for _ in range(COUNT)]
    groups = [events[i : i + 50] for i in range(0, COUNT, 50)]
    records = {
        "one": [event.replace(b'": ', b'":').replace(b', "', b',"') for event in events],
        "spaced": [b" " + event + b"\r\n" for event in events],
        "array": [b"[" + b",".join(group) + b"]" for group in groups],
        "lines": [b"\n".join(group) + b"\n" for group in groups],
    }[shape]
    decoder = Decoder(settings_of(name), KEY)
    batch = batch_of(records, b"\n")
    assert answered(decoder(batch)) == expected(batch, settings_of(name))
    assert (decoder.taken, decoder.judged) == (COUNT, 0)


def test_grouped_attributes_are_scanned_once_their_values_were_met() -> None:
    chance = Random(1)
    batch = batch_of([text(ordinary_tally(chance)) for _ in range(COUNT)], b"\n")
    decoder = Decoder(settings_of("tally", grouped=True), KEY)
    first = answered(decoder(batch))
    assert decoder.judged > 0
    taken = decoder.taken
    assert answered(decoder(batch)) == first == expected(batch, settings_of("tally", grouped=True))
    assert decoder.taken - taken == COUNT


def test_values_of_dimensions_are_bounded() -> None:
    """Attributes of ever new values are right all along, and do not pile up."""
    settings = MeterSettings(settings_of("tally").catalogue, group_by=("user",))
    decoder = Decoder(settings, KEY)
    for part in range(4):
        chance = Random(part)
        records = []
        for number in range(3_000):
            event = ordinary_tally(chance) | {"attributes": {"user": f"u{part}-{number}"}}
            records.append(text(event))
        batch = batch_of(records, b"\n")
        events = decoder(batch)
        assert len(events.dimension_values) <= 8_000
        assert [events.dimension_values[row] for row in events.dimensions] == [
            f'{{"user":"u{part}-{number}"}}' for number in range(3_000)
        ]
    assert answered(decoder(batch)) == expected(batch, settings)


def test_an_event_batch_outlives_the_next() -> None:
    decoder = Decoder(settings_of("tally"), KEY)
    chance = Random(2)
    batches = [batch_of([text(ordinary_tally(chance)) for _ in range(200)], b"\n") for _ in range(3)]
    events = [decoder(batch) for batch in batches]
    assert [answered(found) for found in events] == [expected(batch, settings_of("tally")) for batch in batches]


def test_categories_of_any_name_and_number() -> None:
    """Long names that differ in the middle only, prefixes of each other, numbers far apart."""
    names = [
        "a",
        "ab",
        "abcdefgh",
        "abcdefghi",
        "abcdefgh.abcdefgh",
        *(f"abcdefgh{i:048d}abcdefgh" for i in range(300)),
    ]
    numbers = [0, 1, 7, 65_535, 65_536, *range(10**6, 10**6 + 300)]
    catalogue = Catalogue(tuple(Category(id=n, name=name) for n, name in zip(numbers, names, strict=True)))
    chance = Random(3)
    for form, key, choices in (
        ("tally", "category", [*names, "b", "abcdefgh0", names[-1][:-1], names[-1] + "x"]),
        ("sentry-outcomes", "category", [*numbers, 2, 65_534, 65_537, 2**31]),
    ):
        settings = MeterSettings(catalogue, format=form)
        records = [text(ORDINARY[form](chance) | {key: choice}) for choice in choices]
        decoder = Decoder(settings, KEY)
        assert answered(decoder(batch_of(records))) == expected(batch_of(records), settings)
        assert decoder.taken >= (len(names) if form == "tally" else 4)


def test_no_records_and_empty_values() -> None:
    none = np.zeros(0, np.int64)
    for name in ("tally", "sentry-outcomes", "cloudevents"):
        decoder = Decoder(settings_of(name), KEY)
        events = decoder(RecordBatch(LogId("a", "b"), b"", none, none, none, None, 0))
        assert len(events) == 0
        batch = batch_of([b"", b"", b"\n"])
        assert answered(decoder(batch)) == expected(batch, settings_of(name))


def test_a_flood_of_unfinished_records_takes_linear_time() -> None:
    """Each record opens what only one far behind it would close: no scan may run on through all of them."""
    count = 300_000
    for piece in (b'{"a":[', b'{"a":"', b'{"a', b"{", b"[", b'[{"a":{', b'{"a":  ', b" ", b"\n", b"1", b'"', b'{"a":1'):
        batch = batch_of([piece] * count, tail=b"]}" * 40)
        columns, rows = Decoder(settings_of("tally"), KEY)._scan(batch, np.zeros(1, np.int64))
        assert rows == count
        assert (columns.verdict[:rows] == NOT_TAKEN).all()


def test_group_names_of_any_kind() -> None:
    for groups in (GROUPS, ("\ud800",), ("",), ("x" * 2_000,), ("region", "region")):
        settings = MeterSettings(settings_of("tally").catalogue, group_by=groups)
        decoder = Decoder(settings, KEY)
        chance = Random(4)
        attributes = [{"": 1, "region": "eu", "x" * 2_000: "y" * 2_000, 'a"b': True}, {"region": "eu"}, {}]
        records = [text(ordinary_tally(chance) | {"attributes": found}) for found in attributes * 2]
        for _ in range(2):
            assert answered(decoder(batch_of(records))) == expected(batch_of(records), settings)
