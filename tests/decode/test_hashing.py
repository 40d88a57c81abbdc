"""The hashes against their definition, in integers of any size."""

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflows.decode import Decoder
from dataflows.hashing import MAX_TEXT, PROCESS_KEY, expand_key, hash_events
from dataflows.scan_words import SLACK
from schemas.log import UInt64s
from tests.decode.reference import EXAMPLES, KEY, batch_of, identity, multilinear, settings_of

GOLDEN = {
    (0, "a"): (0x8CD86FD9430EFEBF, 0xC7C2348C8FC4F7F8),
    (1, "a"): (0x9DB5AF33D9513DB6, 0x7B20FED4DF37E8B9),
    (1, "6f2c7b1e52a84c589a0e3d1f6f3a9b77"): (0xCA71B8FD664017B8, 0x8264209C0AD6EFE3),
    (2**63 - 1, "é" * 256): (0xFFFB23F39FEFC328, 0xD0ED79B0CD901114),
}
"""Identities under the keys of the tests."""


def hashed(key: UInt64s, org: int, texts: list[bytes]) -> list[tuple[int, int]]:
    rows = len(texts)
    high, low, payload = (np.zeros(rows, np.uint64) for _ in range(3))
    zeros, small = np.zeros(rows, np.int64), np.zeros(rows, np.int32)
    hash_events(
        key,
        np.arange(rows),
        np.frombuffer(b"".join(texts) + bytes(SLACK), np.uint8),
        np.cumsum([len(text) for text in texts]),
        np.zeros(2, np.uint64),
        np.full(rows, org, np.int64),
        zeros,
        small,
        zeros,
        zeros,
        small,
        high,
        low,
        payload,
    )
    return list(zip(high.tolist(), low.tolist(), strict=True))


def test_golden() -> None:
    found = {(org, text): hashed(KEY, org, [text.encode()])[0] for org, text in GOLDEN}
    assert found == GOLDEN


@settings(max_examples=max(1, EXAMPLES // 4), deadline=None)
@given(st.integers(0, 2**63 - 1), st.text(min_size=1, max_size=300), st.binary(max_size=8))
def test_definition(org: int, text: str, secret: bytes) -> None:
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return
    key = expand_key(secret)
    assert hashed(key, org, [encoded]) == [identity(key, org, text)]


def test_longest_text() -> None:
    assert hashed(KEY, 7, [b"x" * MAX_TEXT]) == [identity(KEY, 7, "x" * MAX_TEXT)]


def test_lengths_and_organisations_tell_apart() -> None:
    """Zeros at the end, texts that are prefixes of others, the same text of another organisation."""
    texts = [b"\0" * n for n in range(1, 70)] + [b"a" * n for n in range(1, 70)]
    found = [pair for org in range(50) for pair in hashed(KEY, org, texts)]
    assert len(set(found)) == len(found)
    # The 96 bits that the dedupe index keeps, and the 32 bits that its slots are found by.
    assert len({(high, low & 0xFFFFFFFF) for high, low in found}) == len(found)


def test_bits_are_even() -> None:
    """Counting ids, the worst case for a linear hash: every bit is set half of the time, slots fill evenly."""
    pairs = hashed(KEY, 1, [b"evt_%08d" % n for n in range(50_000)])
    for word in (0, 1):
        values = np.array([pair[word] for pair in pairs], np.uint64)
        for bit in range(64):
            share = float(((values >> np.uint64(bit)) & np.uint64(1)).mean())
            assert 0.48 < share < 0.52
    homes = np.bincount(
        (np.array([high for high, _ in pairs], np.uint64) >> np.uint64(54)).astype(np.int64), minlength=1024
    )
    assert homes.max() < 100  # 49 on average


def test_keys_of_a_process() -> None:
    """Every decoder of a process hashes alike, and not as another process does."""
    record = (
        b'{"event_id":"a","org_id":1,"project_id":2,"category":"span","quantity":1,"timestamp":"2026-11-22T10:00:00Z"}'
    )
    first, second = (Decoder(settings_of("tally"))(batch_of([record])) for _ in range(2))
    assert first.id_high[0] == second.id_high[0]
    assert first.payload[0] == second.payload[0]
    assert (int(first.id_high[0]), int(first.id_low[0])) == identity(PROCESS_KEY, 1, "a")
    assert first.id_high[0] != Decoder(settings_of("tally"), KEY)(batch_of([record])).id_high[0]


def test_collisions_of_a_short_hash() -> None:
    """The bound holds: over random keys, two given texts share 10 bits of the hash with 2^-10."""
    chance = Random(1)
    met = 0
    for _ in range(30_000):
        keys = [chance.getrandbits(128) for _ in range(4)]
        met += multilinear(keys, [1, 2, 3]) >> 54 == multilinear(keys, [1, 3, 2]) >> 54
    assert 10 <= met <= 55  # 29 are expected
