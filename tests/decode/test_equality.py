"""The decoder answers what the contract answers, on any bytes, in any batching."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.log import RecordBatch
from tests.decode.reference import EXAMPLES, answered, batch_of, decoder_of, expected, settings_of
from tests.decode.values import INSTANTS, MEMBERS, ODD, attributes, broken, event, record, text

many = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
some = settings(many, max_examples=max(1, EXAMPLES // 4))
seeds = st.integers(0, 2**64 - 1).map(Random)
formats = pytest.mark.parametrize(
    ("name", "grouped"), [("tally", False), ("tally", True), ("sentry-outcomes", False), ("cloudevents", True)]
)
TAILS = (b"", b"", b"\n", b"}", b" " * 70, b'"}' * 40, b"0" * 70, b"}" * 80)
"""What may stand behind the last record: too little to be read past it, or what a careless scan would run into."""


def check(name: str, grouped: bool, batch: RecordBatch) -> None:
    found = answered(decoder_of(name, grouped)(batch))
    wanted = expected(batch, settings_of(name, grouped))
    for mine, theirs in zip(found, wanted, strict=False):
        assert mine == theirs
    assert len(found) == len(wanted)


@formats
@given(chance=seeds)
@many
def test_one_event(name: str, grouped: bool, chance: Random) -> None:
    check(name, grouped, batch_of([event(chance, name)], tail=chance.choice(TAILS)))


@formats
@given(chance=seeds)
@many
def test_any_records(name: str, grouped: bool, chance: Random) -> None:
    """Several records, with nothing or anything between them, that may run into each other where a scan is careless."""
    found = [record(chance, name) for _ in range(chance.randrange(6))]
    gap = chance.choice([b"", b"", b"\n", b"\r\n", b"  ", b"}", b'"', b",{"])
    check(name, grouped, batch_of(found, gap, chance.choice(TAILS)))


@formats
@given(chance=seeds)
@some
def test_any_cut_into_batches(name: str, grouped: bool, chance: Random) -> None:
    """However records are cut into batches, and however much data is around them, the columns are the same."""
    found = [record(chance, name) for _ in range(chance.randrange(8))]
    whole = answered(decoder_of(name, grouped)(batch_of(found, b"\n")))
    cut = chance.randint(0, len(found))
    first, second = (
        answered(decoder_of(name, grouped)(batch_of(part, tail=b"x" * 100))) for part in (found[:cut], found[cut:])
    )
    assert whole == [*first, *((int(str(row[0])) + cut, *row[1:]) for row in second)]


@formats
@given(data=st.binary(max_size=120))
@some
def test_any_bytes(name: str, grouped: bool, data: bytes) -> None:
    check(name, grouped, batch_of([data]))
    check(name, grouped, batch_of([b'{"org_id":' + data, data, b"{" + data + b"}"]))


@pytest.mark.parametrize("name", ["tally", "sentry-outcomes"])
def test_every_truncation_and_every_byte(name: str) -> None:
    """A well-formed event, cut at every place, and with each of its bytes replaced by each of some others."""
    chance = Random(name)
    plain = {
        "tally": b'{"event_id":"6f2c7b1e52a84c58","org_id":12,"project_id":7,"category":"error","quantity":3,'
        b'"timestamp":"2026-11-22T10:00:00.123Z","source":"a","attributes":{"region":"eu","n":1.5e3}}',
        "sentry-outcomes": b'{"timestamp":"2026-11-22T10:00:00.123456Z","outcome":0,"org_id":1,"project_id":null,'
        b'"key_id":5,"reason":null,"event_id":"ab","category":1,"quantity":3}',
    }[name]
    changed = [plain[:cut] for cut in range(len(plain))]
    others = [bytes([byte]) for byte in b'"\\{}:,09.e- \n\x00\x7f\x80\xc3\xff']
    for at in range(len(plain)):
        changed += [plain[:at] + other + plain[at + 1 :] for other in chance.sample(others, 8)]
    check(name, False, batch_of(changed))
    check(name, name == "tally", batch_of(changed, b"\n"))


@pytest.mark.parametrize("name", ["tally", "sentry-outcomes"])
def test_every_odd_fragment_in_every_place(name: str) -> None:
    """As each member's value and key, as a further member, deep inside one, as an attribute, as a key of each."""
    members = MEMBERS[name](Random(1))
    plain = [member for member in members if member[0] not in {b'"source"', b'"attributes"'}]
    found = []
    for odd in (*ODD, *(text(instant) for instant in INSTANTS)):
        places = [
            *((key, odd) for key, _ in plain),
            *((odd, value) for _, value in plain),
            *((key, odd) for key in (b'"source"', b'"attributes"', b'"reason"', b'"event_id"', b'"key_id"', b'"more"')),
            (odd, b"1"),
            (b'"more"', b'{"a":[' + odd + b',{"b":' + odd + b"}]}"),
            (b'"more"', b"{" + odd + b":1}"),
            (b'"attributes"', b'{"region":' + odd + b"}"),
            (b'"attributes"', b'{"region":"eu","other":' + odd + b',"plan":7}'),
            (b'"attributes"', b'{"region":"eu",' + odd + b":1}"),
        ]
        for place in places:
            kept = [member for member in plain if member[0] != place[0]]
            found.append(b"{" + b",".join(key + b":" + value for key, value in [*kept, place]) + b"}")
            found.append(b"{" + b",".join(key + b":" + value for key, value in [*plain, place]) + b"}")
    for grouped in (False, True):
        check(name, grouped, batch_of(found))
        check(name, grouped, batch_of(found))  # once more, with the values of dimensions met before


@given(chance=seeds)
@many
def test_grouped_attributes(chance: Random) -> None:
    """Where the scan writes text itself."""
    found = attributes(chance, chance.random() < 0.5)
    if chance.random() < 0.2:
        found = broken(chance, found)
    value = (
        b'{"event_id":"a","org_id":1,"project_id":2,"category":"span","quantity":1,'
        b'"timestamp":"2026-11-22T10:00:00Z","attributes":' + found + b"}"
    )
    check("tally", True, batch_of([value, value], b"\n"))
