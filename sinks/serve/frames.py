"""ClickHouse's own compressed frames, which a client asks for with `compress=1` (its JDBC driver does by default).

A frame is a checksum (16 bytes: CityHash128 in the version that ClickHouse keeps, 1.0.2) of all that follows it, the
method (0x82: an LZ4 block), the size of header and data (4 bytes), the size of the data unpacked (4 bytes), the data.
"""

import importlib
import struct
from typing import Any, Final

FRAME: Final = 1 << 20
"""Unpacked bytes of a frame at the most."""
_LZ4: Final = 0x82
_HEADER: Final = struct.Struct("<BII")
_PAIR: Final = struct.Struct("<QQ")

_MASK: Final = (1 << 64) - 1
_K0: Final = 0xC3A5C85C97CB3127
_K1: Final = 0xB492B66FBE98F273
_K2: Final = 0x9AE16A3B2F90404F
_K3: Final = 0xC949D7C7509E6557
_MIX: Final = 0x9DDFEA08EB382D69


class Frames:
    """A compressor that looks like the others: what goes in comes out as whole frames."""

    def __init__(self) -> None:
        self._pack: Any = importlib.import_module("lz4.block").compress

    def compress(self, data: bytes) -> bytes:
        """Return the data as frames; b"" for none."""
        return b"".join(self._frame(data[at : at + FRAME]) for at in range(0, len(data), FRAME))

    def flush(self) -> bytes:
        """Return b"": nothing is kept back."""
        return b""

    def _frame(self, data: bytes) -> bytes:
        packed: bytes = self._pack(data, store_size=False)
        body = _HEADER.pack(_LZ4, _HEADER.size + len(packed), len(data)) + packed
        return checksum(body) + body


def checksum(data: bytes) -> bytes:
    """Return the 16 bytes that stand before a frame's header and data (8 bytes at least)."""
    size = len(data)
    if size >= 16:
        low, high = _PAIR.unpack_from(data)
        found = _city(data[16:], low ^ _K3, high)
    else:
        found = _city(b"", _word(data, 0) ^ size * _K0 & _MASK, _word(data, size - 8) ^ _K1)
    return _PAIR.pack(*found)


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _turn(value: int, by: int) -> int:
    value &= _MASK
    return (value >> by | value << (64 - by)) & _MASK


def _fold(value: int) -> int:
    value &= _MASK
    return value ^ value >> 47


def _join(low: int, high: int) -> int:
    """Return 64 bits of two times 64."""
    high &= _MASK
    first = _fold(((low & _MASK) ^ high) * _MIX)
    return _fold((high ^ first) * _MIX) * _MIX & _MASK


def _short(data: bytes) -> int:
    """Return the hash of at most 16 bytes."""
    size = len(data)
    if size > 8:
        last = _word(data, size - 8)
        return _join(_word(data, 0), _turn(last + size, size)) ^ last
    if size >= 4:
        ends = int.from_bytes(data[:4], "little"), int.from_bytes(data[-4:], "little")
        return _join(size + (ends[0] << 3), ends[1])
    if size:
        y, z = data[0] + (data[size >> 1] << 8), size + (data[-1] << 2)
        return _fold(y * _K2 ^ z * _K3) * _K2 & _MASK
    return _K2


def _few(data: bytes, a: int, b: int) -> tuple[int, int]:
    """Return the hash of fewer than 128 bytes."""
    size = len(data)
    if size <= 16:
        a = _fold(a * _K1) * _K1 & _MASK
        c = (b * _K1 + _short(data)) & _MASK
        d = _fold(a + (_word(data, 0) if size >= 8 else c))
    else:
        c = _join(_word(data, size - 8) + _K1, a)
        d = _join(b + size, c + _word(data, size - 16))
        a = a + d & _MASK
        for at in range(0, size - 16, 16):
            a = (a ^ _fold(_word(data, at) * _K1) * _K1) * _K1 & _MASK
            b ^= a
            c = (c ^ _fold(_word(data, at + 8) * _K1) * _K1) * _K1 & _MASK
            d ^= c
    a, b = _join(a, c), _join(d, b)
    return a ^ b, _join(b, a)


def _stir(words: tuple[int, ...], a: int, b: int) -> tuple[int, int]:
    """Return two times 64 bits of 32 bytes and a seed."""
    a += words[0]
    b = _turn(b + a + words[3], 21)
    c = a
    a += words[1] + words[2]
    return a + words[3] & _MASK, b + _turn(a, 44) + c & _MASK


def _city(data: bytes, x: int, y: int) -> tuple[int, int]:
    size = len(data)
    if size < 128:
        return _few(data, x, y)
    z = size * _K1 & _MASK
    v0 = _turn(y ^ _K1, 49) * _K1 + _word(data, 0) & _MASK
    v1 = _turn(v0, 42) * _K1 + _word(data, 8) & _MASK
    w0 = _turn(y + z, 35) * _K1 + x & _MASK
    w1 = _turn(x + _word(data, 88), 53) * _K1 & _MASK
    whole = size // 128 * 128
    for words in struct.iter_unpack("<8Q", memoryview(data)[:whole]):
        x = _turn(x + y + v0 + words[2], 37) * _K1 & _MASK
        y = _turn(y + v1 + words[6], 42) * _K1 & _MASK
        x ^= w1
        y ^= v0
        z = _turn(z ^ w0, 33)
        v0, v1 = _stir(words[:4], v1 * _K1, x + w0)
        w0, w1 = _stir(words[4:], z + w1, y)
        z, x = x, z
    y = y + _turn(w0, 37) * _K0 + z & _MASK
    x = x + _turn(v0 + z, 49) * _K0 & _MASK
    # What is left over is read from the end, 32 bytes at a time, the last of them into what was read already.
    for end in range(32, size - whole + 32, 32):
        at = size - end
        y = _turn(y - x, 42) * _K0 + v1 & _MASK
        w0 = w0 + _word(data, at + 16) & _MASK
        x = _turn(x, 49) * _K0 + w0 & _MASK
        w0 = w0 + v0 & _MASK
        v0, v1 = _stir(struct.unpack_from("<4Q", data, at), v0, v1)
    x, y = _join(x, v0), _join(y, w0)
    return _join(x + v1, w1) + y & _MASK, _join(x + w1, y + v1)
