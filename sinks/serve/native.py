"""Native blocks as a newer client reads them: with a head before each block, and a flag before each column's values.

The engine within a process writes blocks in the oldest form, in which clickhouse-connect reads them. Go's client names
a `client_protocol_version` and reads no other form. To put the flags in, one must know where a column ends.
"""

import re
from collections.abc import Iterator
from typing import Final

from sinks.serve.problems import Problem

WITH_FLAGS: Final = 54454
"""The first protocol version in which each column says whether it is written in a way of its own (none is here)."""

_HEAD: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""No overflow rows, no bucket, end."""
_NO_WAY_OF_ITS_OWN: Final = b"\x00"

_WIDTHS: Final = {
    **dict.fromkeys(("UInt8", "Int8", "Bool", "Enum8", "Nothing"), 1),
    **dict.fromkeys(("UInt16", "Int16", "Date", "Enum16", "BFloat16"), 2),
    **dict.fromkeys(("UInt32", "Int32", "Float32", "DateTime", "Date32", "IPv4", "Decimal32", "Time"), 4),
    **dict.fromkeys(("UInt64", "Int64", "Float64", "DateTime64", "Decimal64", "Time64"), 8),
    **dict.fromkeys(("UInt128", "Int128", "UUID", "IPv6", "Decimal128"), 16),
    **dict.fromkeys(("UInt256", "Int256", "Decimal256"), 32),
}
_INDEX_WIDTHS: Final = (1, 2, 4, 8)
_TYPE: Final = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)
_PART: Final = re.compile(r"'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[(),]|[^'`(),]+")
_NAMED: Final = re.compile(r"(?:`(?:[^`\\]|\\.)*`|\w+) (?=\w)")


def wants_flags(version: str) -> bool:
    """Say whether a client of this `client_protocol_version` reads blocks with flags."""
    return version.isdigit() and int(version) >= WITH_FLAGS


def flagged(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield chunks of whole blocks in the newer form. Raises Problem for a column of a type that is not known."""
    for chunk in chunks:
        yield _flag(chunk)


def _flag(data: bytes) -> bytes:
    out, at = bytearray(), 0
    while at < len(data):
        start = at
        columns, at = read_varint(data, at)
        rows, at = read_varint(data, at)
        out += _HEAD + data[start:at]
        for _ in range(columns):
            start = at
            at = after_text(data, at)
            size, at = read_varint(data, at)
            at += size
            out += data[start:at] + _NO_WAY_OF_ITS_OWN
            if rows:
                start, kind = at, data[at - size : at].decode()
                at = _after_values(kind, data, _after_prefix(kind, at), rows)
                out += data[start:at]
    if at > len(data):
        raise Problem(1002, "UNKNOWN_EXCEPTION", "a block of the answer is cut short")
    return bytes(out)


def _after_prefix(kind: str, at: int) -> int:
    """Return where a column's values begin: a LowCardinality says its version first, however deep it lies."""
    name, inner = _taken_apart(kind)
    if name == "LowCardinality":
        return at + 8
    if name in ("Nullable", "Array", "Map", "Tuple", "Nested"):
        for part in inner:
            at = _after_prefix(part, at)
    return at


def _after_values(kind: str, data: bytes, at: int, rows: int) -> int:
    """Return where `rows` values of a type end."""
    name, inner = _taken_apart(kind)
    if name in _WIDTHS:
        return at + rows * _WIDTHS[name]
    match name:
        case "String":
            for _ in range(rows):
                at = after_text(data, at)
            return at
        case "Nullable":
            return _after_values(inner[0], data, at + rows, rows)
        case "LowCardinality":
            return _after_low_cardinality(inner[0], data, at, rows)
        case "Tuple":
            for part in inner:
                at = _after_values(part, data, at, rows)
            return at if inner else at + rows
        case "Array" | "Map" | "Nested":
            if not rows:
                return at
            at += rows * 8
            count = int.from_bytes(data[at - 8 : at], "little")
            for part in inner:
                at = _after_values(part, data, at, count)
            return at
        case "FixedString":
            return at + rows * int(inner[0])
        case "Decimal":
            digits = int(inner[0])
            return at + rows * (4 if digits <= 9 else 8 if digits <= 18 else 16 if digits <= 38 else 32)
    raise Problem(
        48,
        "NOT_IMPLEMENTED",
        f"A column of type {kind} cannot be written in this client's version of Native; cast it to String",
    )


def _after_low_cardinality(kind: str, data: bytes, at: int, rows: int) -> int:
    if not rows:
        return at
    flags, keys = int.from_bytes(data[at : at + 8], "little"), int.from_bytes(data[at + 8 : at + 16], "little")
    name, inner = _taken_apart(kind)
    # The NULL of a nullable one is its first key; the keys themselves are not nullable.
    at = _after_values(inner[0] if name == "Nullable" else kind, data, at + 16, keys)
    count = int.from_bytes(data[at : at + 8], "little")
    return at + 8 + count * _INDEX_WIDTHS[flags & 0xFF]


def _taken_apart(kind: str) -> tuple[str, list[str]]:
    """Return a type's name and its arguments; those of a Tuple or a Nested without names.

    A SimpleAggregateFunction is the type that it holds.
    """
    found = _TYPE.fullmatch(kind)
    if found is None or found[2] is None:
        return (found[1] if found else kind), []
    parts, depth = [""], 0
    for piece in _PART.findall(found[2]):
        depth += (piece == "(") - (piece == ")")
        if piece == "," and not depth:
            parts.append("")
        else:
            parts[-1] += piece
    parts = [part.strip() for part in parts]
    if found[1] in ("Tuple", "Nested"):
        parts = [_NAMED.sub("", part, count=1) if _NAMED.match(part) else part for part in parts]
    if found[1] == "SimpleAggregateFunction":
        return _taken_apart(parts[1])
    return found[1], parts


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place, and where it ends."""
    number = shift = 0
    while True:
        # Past the end there is nothing: the caller sees that it came too far.
        byte = data[at] if at < len(data) else 0
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7


def after_text(data: bytes, at: int) -> int:
    """Return where the text at a place ends."""
    size, at = read_varint(data, at)
    return at + size
