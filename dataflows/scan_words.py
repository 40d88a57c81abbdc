"""Eight bytes at a time: what the compiled scanner reads and compares text with.

Places are addresses in memory: passing arrays between compiled functions would count references at every call, which
costs more than most of these functions do. Whoever passes a place holds the array that it is in.

Words are little-endian, so that byte 0 of a word is the first in memory. Nothing here checks bounds: a caller reads a
word only at a place that has SLACK bytes, or more, of the array after it.
"""

from collections.abc import Callable
from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # ships no type information
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from dataflows.compiled import P, R

Bytes = NDArray[np.uint8]

SLACK: Final = 64
"""A record is scanned in place only where this many bytes of the array follow it."""


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` into its callers: for what is too small, or too often called, to be worth a call."""
    wrapped: Callable[P, R] = numba.njit(cache=True, nogil=True, forceinline=True)(function)
    return wrapped


def word_of(text: bytes) -> np.uint64:
    """Return up to 8 bytes as a word, zeros behind them."""
    return np.uint64(int.from_bytes(text[:8], "little"))


ONES: Final = word_of(b"\x01" * 8)
HIGHS: Final = word_of(b"\x80" * 8)
SPACES: Final = word_of(b" " * 8)
QUOTES: Final = word_of(b'"' * 8)
BACKSLASHES: Final = word_of(b"\\" * 8)
ZEROS: Final = word_of(b"0" * 8)
BEYOND_NINE: Final = word_of(b"\x76" * 8)


def _loading_word(_context: Any, _place: Any) -> Any:
    def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()), align=1)

    return types.uint64(types.int64), codegen


def _loading_byte(_context: Any, _place: Any) -> Any:
    def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        byte = builder.load(builder.inttoptr(arguments[0], ir.IntType(8).as_pointer()))
        return builder.zext(byte, ir.IntType(64))

    return types.int64(types.int64), codegen


def _storing_word(_context: Any, _place: Any, _word: Any) -> Any:
    def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64), codegen


def _counting_zeros(_context: Any, _word: Any) -> Any:
    def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


def _multiplying(_context: Any, _a: Any, _b: Any) -> Any:
    def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(arguments[0], wide), builder.zext(arguments[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), codegen


# Each is a machine instruction that Python cannot say; numba calls what is above to emit it.
_load_word: Any = intrinsic(_loading_word)
_load_byte: Any = intrinsic(_loading_byte)
_store_word: Any = intrinsic(_storing_word)
_trailing_zeros: Any = intrinsic(_counting_zeros)
_multiply_high: Any = intrinsic(_multiplying)


@inlined
def word_at(at: int) -> np.uint64:
    """Return the 8 bytes from `at` on."""
    word: np.uint64 = _load_word(at)
    return word


@inlined
def byte_at(at: int) -> int:
    """Return the byte at `at`."""
    byte: int = _load_byte(at)
    return byte


@inlined
def set_word(at: int, word: np.uint64) -> None:
    """Write 8 bytes from `at` on."""
    _store_word(at, word)


@inlined
def first_hit(hits: np.uint64) -> int:
    """Return which byte, from 0, is the first whose highest bit is set; 8 where there is none."""
    place: int = _trailing_zeros(hits) >> 3
    return place


@inlined
def high_product(a: np.uint64, b: np.uint64) -> np.uint64:
    """Return the upper 64 bits of a 64 × 64 bit product."""
    high: np.uint64 = _multiply_high(a, b)
    return high


@inlined
def as_int(word: np.uint64) -> int:
    """Return a word's value, below 2^63, as a signed integer."""
    return np.int64(word)  # type: ignore[return-value]  # an int to the compiled code


@inlined
def as_word(value: int) -> np.uint64:
    """Return an integer's 64 bits."""
    return np.uint64(value)


@inlined
def text_word(start: int, end: int) -> np.uint64:
    """Return the first 8 bytes of a text, zeros behind a shorter one."""
    length = end - start
    if length >= 8:
        return word_at(start)
    if length == 0:
        return np.uint64(0)
    shift = as_word(64 - 8 * length)
    return (word_at(start) << shift) >> shift


@inlined
def not_plain(word: np.uint64) -> np.uint64:
    """Mark the first byte that is a quote, a backslash, a control character or not ASCII (later marks may be wrong)."""
    quote = (word ^ QUOTES) - ONES
    backslash = (word ^ BACKSLASHES) - ONES
    return (quote | backslash | (word - SPACES) | word) & HIGHS


@inlined
def not_digits(digits: np.uint64) -> np.uint64:
    """Mark the first byte that is no digit, of a word from which "00000000" was taken by exclusive or."""
    return ((digits + BEYOND_NINE) | digits) & HIGHS


@inlined
def number_of(digits: np.uint64, count: int) -> int:
    """Return the value of the first `count` (1 to 8) digits of such a word."""
    digits <<= as_word(64 - 8 * count)
    pairs = (digits * np.uint64(2561)) >> np.uint64(8)
    fours = ((pairs & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(6553601)) >> np.uint64(16)
    return as_int(((fours & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(42949672960001)) >> np.uint64(32))
