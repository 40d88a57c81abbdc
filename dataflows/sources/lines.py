"""Where the lines of a block of bytes start and end, found by a compiled scan.

A line ends with a line feed and with nothing else; its value is what stands before that, byte for byte. So a carriage
return stays in the value (JSON reads it as white space, and a dead letter keeps what was really there). A line
of nothing but spaces, tabs and carriage returns is blank: it separates records and is none itself. The last line of a
log may lack its line feed.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from dataflows.compiled import compiled
from schemas.log import Int64s
from schemas.verdicts import MAX_RAW_BYTES

MAX_LINE_BYTES: Final = 64 << 20
"""A longer line (its line feed not counted) is one record with a cut value. Part of what a log means, so no setting:
another limit would be another log."""

LINE_FEED: Final = 10
CARRIAGE_RETURN: Final = 13
SPACE: Final = 32
TAB: Final = 9


class Lines(NamedTuple):
    """The records of a block: record i's value is `block[starts[i]:ends[i]]`; the block is used up to `taken`."""

    starts: Int64s
    ends: Int64s
    taken: int


def split_lines(block: bytes, *, at_end: bool) -> Lines:
    """Find the records of a block that starts where a line starts.

    What follows the last line feed is a line where the log ends there (`at_end`), and otherwise not taken. `taken` is
    0 only where the block is empty or holds no whole line.
    """
    starts, ends, taken = find_lines(np.frombuffer(block, np.uint8), at_end)
    return Lines(starts, ends, int(taken))


def cut_line(first: bytes, size: int, longest_line: int = MAX_LINE_BYTES) -> bytes:
    """Return the value that stands for a line of `size` bytes, over the limit, that begins with `first`.

    It holds as much of the line as a dead letter keeps, then a sentence behind a zero byte and one that UTF-8 never
    has: neither may stand anywhere in JSON, so that the record is rejected as not_json, whatever the cut left over.
    """
    kept = first[: min(longest_line, MAX_RAW_BYTES)]
    return kept + b"\x00\xff cut here: the line has %d bytes, more than %d" % (size, longest_line)


# Pointers travel as integers; the C library's search looks at 32 bytes and more at a time.
_memchr: Any = types.ExternalFunction("memchr", types.intp(types.intp, types.int32, types.intp))


@compiled
def find_lines(block: NDArray[np.uint8], at_end: bool) -> tuple[Int64s, Int64s, int]:
    """Do what split_lines says, on bytes as an array."""
    size = len(block)
    feeds = 0
    for byte in block:  # vectorised, and cheaper than arrays that grow
        feeds += byte == LINE_FEED
    starts = np.empty(feeds + 1, np.int64)
    ends = np.empty(feeds + 1, np.int64)
    address = np.int64(block.ctypes.data)
    count = 0
    line = 0
    while line < size:
        found = _memchr(address + line, LINE_FEED, size - line)
        if found != 0:
            end = found - address
        elif at_end:
            end = size
        else:
            break
        place = line
        while place < end and (block[place] == SPACE or block[place] == TAB or block[place] == CARRIAGE_RETURN):
            place += 1
        if place < end:
            starts[count] = line
            ends[count] = end
            count += 1
        line = end + 1
    return starts[:count], ends[:count], min(line, size)
