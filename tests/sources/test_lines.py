"""Lines of a block, against the plain reading."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.sources.lines import MAX_LINE_BYTES, cut_line, split_lines
from schemas.verdicts import MAX_RAW_BYTES
from tests.sources.reading import contents, many, records_of


@many
@given(contents, st.booleans())
def test_split_lines_finds_what_the_plain_reading_finds(block: bytes, at_end: bool) -> None:
    lines = split_lines(block, at_end=at_end)
    assert lines.taken == (len(block) if at_end else block.rfind(b"\n") + 1)
    found = [(start, block[start:end]) for start, end in zip(lines.starts.tolist(), lines.ends.tolist(), strict=True)]
    assert found == records_of(block[: lines.taken])


def test_lines_of_every_length_around_the_width_of_the_search() -> None:
    block = b"".join(b"%s\n" % (b"x" * length) for length in range(300)) + b"rest"
    lines = split_lines(block, at_end=False)
    assert (lines.ends - lines.starts).tolist() == list(range(1, 300))
    assert lines.taken == len(block) - 4


def test_only_a_line_feed_ends_a_line_and_what_stands_before_it_is_kept() -> None:
    block = b"a\rb\x0bc\x0cd\x1ce\xc2\x85f\xe2\x80\xa8g\r\n\r\n \n z \n"
    lines = split_lines(block, at_end=True)
    assert [block[start:end] for start, end in zip(lines.starts, lines.ends, strict=True)] == [
        b"a\rb\x0bc\x0cd\x1ce\xc2\x85f\xe2\x80\xa8g\r",
        b" z ",
    ]


@pytest.mark.parametrize("line", [b"{}", b'{"a": "', b"[" * 30, b" " * 30, b"1", b'"\\'])
def test_a_cut_line_is_never_json(line: bytes) -> None:
    value = cut_line(line, 1000, 30)
    assert value.startswith(line)
    assert b"1000 bytes" in value
    with pytest.raises(ValueError, match=r"JSON|utf-8|control|delimiter|double quotes|column|decode"):
        json.loads(value)
    with pytest.raises(ValueError, match=r"."):
        json.loads(value.decode(errors="replace"))


def test_a_cut_line_keeps_what_a_dead_letter_keeps() -> None:
    line = bytes(range(65, 91)) * 100_000
    value = cut_line(line, MAX_LINE_BYTES + 1)
    assert value[:MAX_RAW_BYTES] == line[:MAX_RAW_BYTES]
    assert MAX_RAW_BYTES < len(value) < MAX_RAW_BYTES + 200
