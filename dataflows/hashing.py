"""Keyed hashes: an event's identity (128 bits) and what a duplicate must repeat of it (64 bits).

Both are multilinear over 64-bit words x₁ … xₙ with secret 128-bit keys k₀ … kₙ: the upper 64 bits of
k₀ + Σ kᵢ·xᵢ mod 2^128. That family is strongly universal (Lemire and Kaser, "Strongly universal string hashing is
fast"): whatever the two texts are, as long as they were chosen without knowing the keys, they meet with probability
2^-64 exactly, and any b bits of the answer meet with 2^-b. An identity is two such hashes under independent keys.

The dedupe index keeps 96 bits of an identity. Among the n ids within a horizon some two meet with a probability of at
most n²/2 · 2^-96: 6.4 · 10^-10 for 10^10 ids. A conflict passes for a duplicate with 2^-64.

Keys are drawn once a process. A verdict never depends on them (but for those probabilities), and no hash is kept
beyond the process, so that whoever may choose event ids cannot choose colliding ones.
"""

import hashlib
import secrets
from typing import Final

import numpy as np

from dataflows.compiled import compiled
from dataflows.scan_words import Bytes, as_word, high_product, inlined, text_word, word_at
from schemas.log import Int32s, Int64s, KeptValues, UInt64s

MAX_TEXT: Final = 6144
"""The longest text that an identity can have, in bytes: more than a CloudEvent's source and id, of 1,280 characters."""

_ID_WORDS: Final = 2 + MAX_TEXT // 8
"""The organisation, the text's length, the text."""
_PAYLOAD_KEYS: Final = 4 * (1 + _ID_WORDS)
"""Where the payload's keys start, after those of the identity: four words each, the two keys of a word."""
_PAYLOAD_WORDS: Final = 6
_KEY_SIZE: Final = _PAYLOAD_KEYS + 2 * (1 + _PAYLOAD_WORDS)


def expand_key(secret: bytes) -> UInt64s:
    """Return the keys that a secret stands for."""
    stream = hashlib.shake_256(b"tally identity" + secret).digest(8 * _KEY_SIZE)
    return np.frombuffer(stream, dtype="<u8").astype(np.uint64)


PROCESS_KEY: Final = expand_key(secrets.token_bytes(32))
"""The keys of this process: every decoder in it hashes alike."""


def hash_dimensions(key: UInt64s, dimensions: str) -> tuple[int, int]:
    """Return 128 bits of grouped attributes for the payload hash; both words 0 for ''."""
    if not dimensions:
        return 0, 0
    found = hashlib.blake2b(dimensions.encode(), digest_size=16, key=key[:8].tobytes()).digest()
    return int.from_bytes(found[:8], "little"), int.from_bytes(found[8:], "little")


def hash_kept(key: UInt64s, kept: KeptValues) -> np.uint64:
    """Return 64 bits of what is kept of an event, for its payload: a repeat with another amount is no duplicate."""
    text = f"{len(kept.value)}:{kept.value}{kept.amount}".encode()
    return np.uint64(int.from_bytes(hashlib.blake2b(text, digest_size=8, key=key[8:16].tobytes()).digest(), "little"))


@inlined
def mix(word: np.uint64) -> np.uint64:
    """Spread a word's bits by a bijection: equal answers stay as rare as they were, near ones come apart."""
    word = (word ^ (word >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    word = (word ^ (word >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return word ^ (word >> np.uint64(32))


@inlined
def hash_id(key: int, org: int, start: int, end: int) -> tuple[np.uint64, np.uint64]:
    """Return the identity of (org, the event id start to end, at most MAX_TEXT bytes); never both words 0."""
    low_a, high_a, low_b, high_b = word_at(key), word_at(key + 8), word_at(key + 16), word_at(key + 24)
    words = (end - start + 7) >> 3
    for place in range(2 + words):
        if place == 0:
            word = as_word(org)
        elif place == 1:
            word = as_word(end - start)
        elif place == 1 + words:
            word = text_word(start + 8 * (words - 1), end)
        else:
            word = word_at(start + 8 * (place - 2))
        key += 32
        product = word * word_at(key)
        low_a += product
        high_a += high_product(word, word_at(key)) + word * word_at(key + 8) + np.uint64(low_a < product)
        product = word * word_at(key + 16)
        low_b += product
        high_b += high_product(word, word_at(key + 16)) + word * word_at(key + 24) + np.uint64(low_b < product)
    high, low = mix(high_a), mix(high_b)
    if high == np.uint64(0) and low == np.uint64(0):
        low = np.uint64(1)
    return high, low


@inlined
def hash_payload(
    key: int,
    category: int,
    project: int,
    quantity: int,
    timestamp: int,
    dimensions_high: np.uint64,
    dimensions_low: np.uint64,
) -> np.uint64:
    """Return the hash of what a duplicate must repeat; the dimensions stand as their own 128-bit hash."""
    key += 8 * _PAYLOAD_KEYS
    low, high = word_at(key), word_at(key + 8)
    words = (
        as_word(category),
        as_word(project),
        as_word(quantity),
        as_word(timestamp),
        dimensions_high,
        dimensions_low,
    )
    for word in words:
        key += 16
        product = word * word_at(key)
        low += product
        high += high_product(word, word_at(key)) + word * word_at(key + 8) + np.uint64(low < product)
    return high


@compiled
def hash_events(
    key: UInt64s,
    rows: Int64s,
    text: Bytes,
    text_ends: Int64s,
    dimension_hashes: UInt64s,
    org: Int64s,
    project: Int64s,
    category: Int32s,
    quantity: Int64s,
    timestamp: Int64s,
    dimensions: Int32s,
    id_high: UInt64s,
    id_low: UInt64s,
    payload: UInt64s,
) -> None:
    """Fill in the hashes of those rows; row k's event id ends at text_ends[k] (no text: an event without an id).

    `text` has 8 bytes more than the ids; `dimension_hashes` has the two words of each row of the dimensions.
    """
    place = text.ctypes.data
    keys = key.ctypes.data
    start = 0
    for k in range(rows.shape[0]):
        row, end = rows[k], text_ends[k]
        if end > start:
            id_high[row], id_low[row] = hash_id(keys, org[row], place + start, place + end)
        grouped = 2 * dimensions[row]
        payload[row] = hash_payload(
            keys,
            category[row],
            project[row],
            quantity[row],
            timestamp[row],
            dimension_hashes[grouped],
            dimension_hashes[grouped + 1],
        )
        start = end
