"""SQL decodes what it takes for plain exactly as the contract does; what it does not take, it says."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest

from schemas.formats.base import Decoded
from schemas.formats.judge import judge
from schemas.metering import MeterSettings
from sinks.store import Store, open_store
from tally.recount.formats import COLUMNS, sql_format
from tally.recount.scratch import add_records, decode, odd_records, scratch
from tests.decode.reference import batch_of, settings_of
from tests.decode.values import INSTANTS, MEMBERS, ODD, event, record

RECORDS = 3_000

Answer = tuple[Any, ...]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(f"chdb:{tmp_path_factory.mktemp('engine') / 'store'}") as opened:
        yield opened


def in_sql(engine: Store, values: Sequence[bytes], settings: MeterSettings) -> tuple[dict[Any, Answer], set[int]]:
    """Return what SQL decodes, by position, and the records that it leaves to the contract."""
    with scratch(engine, settings.catalogue) as made:
        assert add_records(made, [batch_of(values)], 1 << 60) == len(values)
        count = decode(made, sql_format(settings.format, settings.group_by))
        odd = list(odd_records(made))
        assert len(odd) == count
        offsets = batch_of(values).offsets.tolist()
        assert [value for _, _, value in odd] == [values[offsets.index(offset)] for offset, _, _ in odd]
        rows = made.query(f"SELECT offset, `index`, {', '.join(COLUMNS)} FROM <events>")
    numbers = {offset: number for number, offset in enumerate(offsets)}
    return {(numbers[row[0]], row[1]): row[2:] for row in rows}, {numbers[offset] for offset, _, _ in odd}


def by_contract(value: bytes, settings: MeterSettings) -> list[Answer]:
    names = settings.catalogue.names
    return [
        (
            *("", one.not_billable or "", one.org_id, one.event_id is not None, one.event_id or ""),
            *(names[one.category], one.project_id, one.quantity, one.timestamp, one.dimensions),
        )
        if isinstance(one := judged.outcome, Decoded)
        else (one.reason,)
        for judged in judge(value, settings)
    ]


def check(engine: Store, values: Sequence[bytes], settings: MeterSettings) -> set[int]:
    """Hold SQL to the contract on every record that it judges; return those that it leaves alone."""
    found, odd = in_sql(engine, values, settings)
    for number, value in enumerate(values):
        if number in odd:
            assert not [place for place in found if place[0] == number]
            continue
        wanted = by_contract(value, settings)
        mine = [found.pop((number, index)) for index in range(len(wanted))]
        assert [one[:1] if one[0] else one for one in mine] == wanted, value
    assert not found
    return odd


@pytest.mark.parametrize(
    ("name", "grouped"), [("tally", False), ("tally", True), ("sentry-outcomes", False), ("cloudevents", True)]
)
def test_random_records(engine: Store, name: str, grouped: bool) -> None:
    chance = Random(f"{name} {grouped}")
    values = [record(chance, name) for _ in range(RECORDS // 3)]
    values += [event(chance, name) for _ in range(RECORDS // 3)]
    calm = [event(chance, name, calm=True) for _ in range(RECORDS // 3)]
    odd = check(engine, [*values, *calm], settings_of(name, grouped))
    # Of events as producers write them, most are plain.
    assert len([number for number in odd if number >= len(values)]) < len(calm) // 2


@pytest.mark.parametrize("name", MEMBERS)
def test_every_odd_value_in_every_field(engine: Store, name: str) -> None:
    """One field at a time holds a value of another kind."""
    values = []
    for key, fragment in MEMBERS[name](Random(0)):
        for odd in (*ODD, *(f'"{text}"'.encode() for text in INSTANTS)):
            members = [(k, odd if k == key else v) for k, v in MEMBERS[name](Random(0))]
            values.append(b"{" + b",".join(k + b":" + v for k, v in members) + b"}")
        assert fragment
    check(engine, values, settings_of(name, True))


def test_what_cannot_be_read_in_one_way_alone_is_left_to_the_contract(engine: Store) -> None:
    whole = (
        b'{"event_id":"a","org_id":1,"project_id":1,"category":"error","quantity":1,"timestamp":"2026-11-22T10:00:00Z"'
    )
    odd = [
        b"",
        b"{",
        b"\xef\xbb\xbf" + whole + b"}",
        whole + b',"quantity":2}',
        whole + b',"attributes":{"region":1,"region":2}}',
        whole + b',"x":[1]}',
        whole + b',"x":18446744073709551616}',
        whole + b',"x":"\\ud83d"}',
        whole + b',"attributes":{"region":0.5}}',
        whole + b"}" + whole + b"}",
        b"[]",
        b"\xff\xff\xff\xff",
    ]
    plain = [
        whole + b"}",
        b"[" + whole + b"} , " + whole + b"}]",
        whole + b"}\n\n" + whole + b"}\r\n",
        whole + b',"x":2.5}',
    ]
    assert check(engine, [*odd, *plain], settings_of("tally", True)) == set(range(len(odd)))


def test_a_format_that_is_not_written_in_sql_is_left_to_the_contract() -> None:
    assert sql_format("morse", ()) is None
