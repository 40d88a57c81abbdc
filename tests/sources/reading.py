"""A plain reading of lines, to judge the sources by, and readers read to their end."""

import os
import time
from collections.abc import Callable
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st

from dataflows.sources.base import Reader
from dataflows.sources.lines import MAX_LINE_BYTES, cut_line
from schemas.log import LogId, RecordBatch

many = settings(max_examples=int(os.environ.get("TALLY_TEST_EXAMPLES", "200")), deadline=None)

Records = list[tuple[int, bytes]]
"""Offset and value of each record."""

DEADLINE: Final = 60.0
"""Seconds after which a test gives up; nothing passes because of it."""


def records_of(content: bytes, longest_line: int = MAX_LINE_BYTES) -> Records:
    """Return the records of a log, told apart as simply as can be."""
    found: Records = []
    offset = 0
    for line in content.split(b"\n"):
        if len(line) > longest_line:
            found.append((offset, cut_line(line, len(line), longest_line)))
        elif line.strip(b" \t\r"):
            found.append((offset, line))
        offset += len(line) + 1
    return found


def records_in(batch: RecordBatch) -> Records:
    assert batch.timestamps is None
    assert len(batch.offsets) == len(batch.starts) == len(batch.ends) == len(batch)
    assert not len(batch) or batch.next_offset > batch.offsets[-1]
    return [
        (offset, batch.data[start:end])
        for offset, start, end in zip(batch.offsets.tolist(), batch.starts.tolist(), batch.ends.tolist(), strict=True)
    ]


def read_batches(reader: Reader, until: Callable[[list[RecordBatch]], bool] = lambda _: False) -> list[RecordBatch]:
    """Poll to the end, or until `until` says so of all that came."""
    batches: list[RecordBatch] = []
    deadline = time.monotonic() + DEADLINE
    while not reader.exhausted and not until(batches):
        assert time.monotonic() < deadline, f"not there after {DEADLINE:g} s: {len(batches)} batches"
        batches += reader.poll()
    return batches


def read_all(reader: Reader) -> list[RecordBatch]:
    """Read a reader to its end, and close it."""
    try:
        return read_batches(reader)
    finally:
        reader.close()


def records_by_log(batches: list[RecordBatch]) -> dict[LogId, Records]:
    found: dict[LogId, Records] = {}
    for batch in batches:
        found.setdefault(batch.log, []).extend(records_in(batch))
    return found


def records(batches: list[RecordBatch]) -> Records:
    return [record for batch in batches for record in records_in(batch)]


_lines = st.one_of(
    st.sampled_from([b"", b" ", b"\t\r", b"{}", b"\r", b"{}\r", b" {} ", b"\xff\x00", b"\x0b", b"\x1c\x85", b"x" * 40]),
    st.binary(max_size=12),
)

contents = st.one_of(st.lists(_lines, max_size=12).map(b"\n".join), st.binary(max_size=60))
"""Logs with lines of every kind: blank, long, with other line ends, without a last line feed."""

longest_lines = st.one_of(st.just(MAX_LINE_BYTES), st.integers(1, 45))
