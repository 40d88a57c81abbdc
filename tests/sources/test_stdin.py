"""Standard input: the same records as from a file, as they come, and checked when it is given again."""

import io
import os
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.resume import changed_identity, start_of
from dataflows.sources.base import ListedLog
from dataflows.sources.files import HEAD_BYTES
from dataflows.sources.lines import MAX_LINE_BYTES
from dataflows.sources.stdin import StdinReader, StdinSource
from schemas.catalogue import load_catalogue
from schemas.errors import SettingsError, SourceError
from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.verdicts import MAX_RAW_BYTES
from tests.sources.reading import contents, longest_lines, many, read_all, read_batches, records, records_of

LOG = LogId("piped", "0")


def reader_of(stream: BinaryIO, start: int = 0, batch_bytes: int = 4 << 20) -> StdinReader:
    return StdinSource(stream, name="piped", batch_bytes=batch_bytes).open({LOG: start})


def listed_of(content: bytes) -> ListedLog:
    return StdinSource(io.BytesIO(content), name="piped").list_logs()[0]


@pytest.fixture
def pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as read_end, os.fdopen(writing, "wb", buffering=0) as write_end:
        yield read_end, write_end


@many
@given(contents, st.integers(1, 70), longest_lines, st.booleans())
def test_records_do_not_depend_on_the_batches(
    content: bytes, batch_bytes: int, longest_line: int, listed: bool
) -> None:
    def read(start: int) -> list[tuple[int, bytes]]:
        source = StdinSource(io.BytesIO(content), name="piped", batch_bytes=batch_bytes, longest_line=longest_line)
        if listed:
            source.list_logs()
        reader = source.open({LOG: start})
        batches = read_all(reader)
        places.update(batch.next_offset for batch in batches)
        assert reader.ends()[LOG].offset == len(content)
        assert batches[-1].next_offset == len(content)
        return records(batches)

    places = {0}
    whole = read(0)
    assert whole == records_of(content, longest_line)
    for start in places | {offset for offset, _ in whole}:
        assert read(start) == [record for record in whole if record[0] >= start]


@many
@given(st.lists(contents, max_size=6), st.integers(1, 70))
def test_records_do_not_depend_on_how_the_bytes_come_through_a_pipe(pieces: list[bytes], batch_bytes: int) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream:
        reader = reader_of(stream, batch_bytes=batch_bytes)
        batches = []
        for piece in pieces:
            os.write(writing, piece)
            if len(piece) >= batch_bytes:  # then the poll has not to wait
                batches += reader.poll()
        os.close(writing)
        batches += read_all(reader)
    assert records(batches) == records_of(b"".join(pieces))


def test_lines_come_as_soon_as_they_are_whole(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    stream, writing = pipe
    now = 5_000_000
    reader = StdinSource(stream, name="piped", clock=lambda: now).open({LOG: 0})
    assert reader.poll() == []  # waits a little, and no longer
    writing.write(b"1\n2\nhal")
    assert records(reader.poll()) == [(0, b"1"), (2, b"2")]
    assert reader.poll() == []
    assert (reader.exhausted, reader.ends()) == (False, {})
    writing.write(b"f\n\n \n4")
    assert records(reader.poll()) == [(4, b"half")]
    writing.close()
    now = 6_000_000
    assert records(reader.poll()) == [(12, b"4")]
    assert reader.exhausted
    assert reader.ends() == {LOG: (13, 6_000_000)}
    assert reader.poll() == []
    reader.close()
    reader.close()


def test_listing_waits_for_the_head(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    stream, writing = pipe
    content = b'{"number": 1}\n' * 1000

    def write_slowly() -> None:
        for start in range(0, len(content), 100):
            writing.write(content[start : start + 100])
        writing.close()

    source = StdinSource(stream, name="piped")
    thread = threading.Thread(target=write_slowly)
    thread.start()
    [listed] = source.list_logs()
    assert (listed.log, listed.log_start, listed.log_end) == (LOG, 0, None)
    assert (listed.finite, listed.partitions, listed.identity["uri"]) == (True, 1, "-")
    assert source.list_logs() == [listed]
    assert records(read_all(source.open({LOG: 0}))) == records_of(content)
    thread.join()
    assert not source.broker_clock
    assert listed.identity == listed_of(content[:HEAD_BYTES]).identity
    assert listed.identity != listed_of(content[: HEAD_BYTES - 1]).identity


def test_a_stop_ends_the_wait_for_the_head(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    stream, writing = pipe
    writing.write(b"1\n")
    looks: list[bool] = []

    def should_stop() -> bool:
        looks.append(len(looks) >= 3)
        return looks[-1]

    source = StdinSource(stream, name="piped", should_stop=should_stop)
    assert source.list_logs() == []  # nobody knows which log it is: nothing of it is counted
    assert looks == [False, False, False, True]


def test_the_end_is_known_at_once_where_the_input_is_short() -> None:
    assert listed_of(b"").log_end == 0
    assert listed_of(b"1\n2").log_end == 3
    assert listed_of(b"\n" * HEAD_BYTES).log_end is None


def test_a_file_and_a_terminal_can_be_standard_input(tmp_path: Path) -> None:
    path = tmp_path / "log"
    content = b"".join(b"%d\n" % number for number in range(100_000))
    path.write_bytes(content)
    with path.open("rb") as stream:
        assert records(read_all(reader_of(stream, batch_bytes=10_000))) == records_of(content)
    master, terminal = os.openpty()
    with os.fdopen(terminal, "rb") as stream:
        os.write(master, b"1\n2\n\x04")
        source = StdinSource(stream, name="piped")
        assert source.list_logs()[0].log_end == 4
        assert records(read_all(source.open({LOG: 0}))) == [(0, b"1"), (2, b"2")]
    os.close(master)


def test_input_given_again_is_skipped_to_the_start() -> None:
    content = b"".join(b"%d\n" % number for number in range(10_000))
    for start in (2, 1890, HEAD_BYTES - 1, 38890, len(content)):
        begun = content.find(b"\n", start - 1) + 1
        found = records(read_all(reader_of(io.BytesIO(content), begun, batch_bytes=1000)))
        assert found == [record for record in records_of(content) if record[0] >= begun]


@pytest.mark.parametrize(
    ("content", "start", "why"),
    [
        (b"1\n2\n", 5, "it ends at byte 4, before byte 5"),
        (b"", 1, "it ends at byte 0"),
        (b"1\n22\n", 3, "no line starts at byte 3"),
        (b"1\n" * 9000, 17_999, "no line starts at byte 17999"),
    ],
)
def test_other_input_than_before_is_refused(content: bytes, start: int, why: str) -> None:
    with pytest.raises(SourceError, match=rf"piped/0: standard input is not .*{why}.*whole input again.*--name"):
        read_all(reader_of(io.BytesIO(content), start))


def test_an_unfinished_last_line_may_be_where_the_same_input_ended() -> None:
    [batch] = read_all(reader_of(io.BytesIO(b"1\n22"), 4))
    assert (len(batch), batch.next_offset) == (0, 4)
    with pytest.raises(SourceError, match="no line starts at byte 4"):
        read_all(reader_of(io.BytesIO(b"1\n2233\n"), 4))


def test_resume_judges_by_the_head() -> None:
    settings = MeterSettings(load_catalogue())
    content = b'{"number": 1}\n' * 1000
    stored = start_of(listed_of(content), None, settings, rows_past_progress=False).progress
    assert changed_identity(listed_of(content + b"more\n"), stored) == []
    other = listed_of(b" " + content)
    with pytest.raises(SourceError, match=r"piped/0: standard input does not start as .*--name.*--again"):
        start_of(other, stored, settings, rows_past_progress=False)
    assert start_of(other, stored, settings, rows_past_progress=False, again=True).progress.generation == 2


def test_a_line_over_the_limit_costs_no_more_memory_than_one_at_the_limit(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    stream, writing = pipe
    block = b"x" * (1 << 20)

    def write() -> None:
        writing.write(b"1\n")
        for _ in range(4 * MAX_LINE_BYTES // len(block)):
            writing.write(block)
        writing.write(b"\n2\n")
        writing.close()

    thread = threading.Thread(target=write)
    tracemalloc.start()
    try:
        thread.start()
        batches = read_all(reader_of(stream))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        thread.join()
    assert peak < MAX_LINE_BYTES + (16 << 20)
    one, cut, two = records(batches)
    assert (one, two) == ((0, b"1"), (3 + 4 * MAX_LINE_BYTES, b"2"))
    assert (cut[0], cut[1][:MAX_RAW_BYTES]) == (2, block)
    assert b"%d bytes" % (4 * MAX_LINE_BYTES) in cut[1]


def test_what_cannot_be_read_is_refused(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    stream = io.BytesIO(b"1\n")
    source = StdinSource(stream, name="piped")
    stream.close()
    with pytest.raises(SourceError, match=r"standard input cannot be read: .*closed"):
        source.list_logs()
    with io.FileIO(pipe[1].fileno(), "rb", closefd=False) as write_only:
        pipe[0].close()
        with pytest.raises(SourceError, match=r"standard input cannot be read: .*Bad file descriptor"):
            StdinSource(write_only, name="piped").list_logs()


def test_a_name_is_needed_and_only_this_log_can_be_read() -> None:
    for name in ("", "a/b"):
        with pytest.raises(SettingsError, match="--name"):
            StdinSource(io.BytesIO(b""), name=name)
    with pytest.raises(SourceError, match="standard input is piped/0, not other/0"):
        StdinSource(io.BytesIO(b""), name="piped").open({LogId("other", "0"): 0})
    nothing = StdinSource(io.BytesIO(b"1\n"), name="piped").open({})
    assert (nothing.exhausted, nothing.poll(), nothing.ends()) == (True, [], {})


def test_a_stream_that_was_read_is_not_read_again() -> None:
    source = StdinSource(io.BytesIO(b"1\n"), name="piped")
    assert records(read_batches(source.open({LOG: 0}))) == [(0, b"1")]
    with pytest.raises(AssertionError, match="only once"):
        source.open({LOG: 0})
