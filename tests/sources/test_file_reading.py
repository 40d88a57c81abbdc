"""Reading files: the same records however a file is cut into batches and wherever it is opened again."""

import os
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dataflows.sources.base import LogEnd
from dataflows.sources.files import COMPRESSED, FileSource
from dataflows.sources.lines import MAX_LINE_BYTES
from schemas.errors import SourceError
from schemas.log import LogId
from schemas.verdicts import MAX_RAW_BYTES
from tests.sources.reading import (
    contents,
    longest_lines,
    many,
    read_all,
    read_batches,
    records,
    records_by_log,
    records_in,
    records_of,
)


@many
@given(contents, st.integers(1, 70), longest_lines)
def test_records_do_not_depend_on_the_batches(content: bytes, batch_bytes: int, longest_line: int) -> None:
    assume(not content.startswith(tuple(COMPRESSED)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log")
        path.write_bytes(content)
        source = FileSource(path, batch_bytes=batch_bytes, longest_line=longest_line)
        log = source.list_logs()[0].log
        batches = read_all(source.open({log: 0}))
        whole = records(batches)
        assert whole == records_of(content, longest_line)
        assert [batch.next_offset for batch in batches][-1:] == ([len(content)] if content else [])
        for start in {offset for offset, _ in whole} | {batch.next_offset for batch in batches}:
            again = read_all(source.open({log: start}))
            assert records(again) == [record for record in whole if record[0] >= start]


@many
@given(st.lists(contents, min_size=1, max_size=8), st.integers(1, 100))
def test_files_come_one_after_the_other_in_listed_order(files: list[bytes], batch_bytes: int) -> None:
    assume(not any(content.startswith(tuple(COMPRESSED)) for content in files))
    with tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate(files):
            Path(folder, f"{number}.jsonl").write_bytes(content)
        source = FileSource(Path(folder), name="usage", batch_bytes=batch_bytes)
        logs = [listed.log for listed in source.list_logs()]
        batches = read_all(source.open(dict.fromkeys(reversed(logs), 0)))
        order = [batch.log for batch in batches]
        assert order == sorted(order, key=logs.index)
        found = records_by_log(batches)
        assert found == {log: records_of(content) for log, content in zip(logs, files, strict=True) if content}


def test_a_poll_returns_about_batch_bytes_and_nothing_only_at_the_end(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:03}").write_bytes(b"%d\n" % number * 10)
    (tmp_path / "large").write_bytes(b"0123456789\n" * 1000)
    source = FileSource(tmp_path, name="usage", batch_bytes=1000)
    reader = source.open({listed.log: 0 for listed in source.list_logs()})
    sizes = []
    while not reader.exhausted:
        batches = reader.poll()
        sizes.append((len(batches), sum(len(batch.data) for batch in batches)))
    assert reader.poll() == []
    assert min(count for count, _ in sizes) == 1
    assert max(count for count, _ in sizes) > 20  # small files come together
    assert max(size for _, size in sizes) <= 1000


def test_only_the_logs_that_are_asked_for_are_read_and_a_finished_one_is_not_opened(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text(f"{name}\n")
    source = FileSource(tmp_path, name="usage")
    source.list_logs()
    (tmp_path / "a").unlink()
    a, c = LogId("usage", "a"), LogId("usage", "c")
    reader = source.open({a: 2, c: 0})
    assert reader.ends() == {a: (2, reader.ends()[a].seen_at), c: (2, reader.ends()[c].seen_at)}
    assert records_by_log(read_all(reader)) == {c: [(0, b"c")]}
    done = source.open({a: 2})
    assert done.exhausted
    assert done.poll() == []


def test_ends_are_the_listed_sizes_seen_at_the_clocks_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1\n2\n")
    (tmp_path / "b").write_text("")
    source = FileSource(tmp_path, name="usage", clock=lambda: 7_000_000)
    logs = [listed.log for listed in source.list_logs()]
    reader = source.open(dict.fromkeys(logs, 0))
    assert reader.ends() == {logs[0]: LogEnd(4, 7_000_000), logs[1]: LogEnd(0, 7_000_000)}
    read_all(reader)
    reader.close()


def test_one_file_is_open_at_a_time(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / str(number)).write_text("1\n2\n")
    source = FileSource(tmp_path, name="usage", batch_bytes=2)
    starts = {listed.log: 0 for listed in source.list_logs()}
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    reader = source.open(starts)
    while not reader.exhausted:
        reader.poll()
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_line_over_the_limit_is_one_record_and_costs_no_more_memory_than_one_at_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.write(b'1\n{"a": "')
        file.seek(2 + 4 * MAX_LINE_BYTES)
        file.write(b"\n2\n")
    source = FileSource(path)
    log = source.list_logs()[0].log
    tracemalloc.start()
    try:
        batches = read_all(source.open({log: 0}))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MAX_LINE_BYTES + (8 << 20)
    one, cut, two = (record for batch in batches for record in records_in(batch))
    assert (one, two) == ((0, b"1"), (3 + 4 * MAX_LINE_BYTES, b"2"))
    assert cut[0] == 2
    assert cut[1].startswith(b'{"a": "\0\0')
    assert len(cut[1]) < MAX_RAW_BYTES + 200
    assert b"%d bytes" % (4 * MAX_LINE_BYTES) in cut[1]


def test_a_line_at_the_limit_is_whole_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for size, whole in ((MAX_LINE_BYTES, True), (MAX_LINE_BYTES + 1, False)):
        for end in (b"", b"\n"):
            path.write_bytes(b"x" * size + end)
            source = FileSource(path)
            [(offset, value)] = records(read_all(source.open({source.list_logs()[0].log: 0})))
            assert offset == 0
            assert (len(value) == size) == whole


def test_a_file_that_grows_while_it_is_read_is_refused_before_its_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"1\n2\n3\nhal")
    source = FileSource(path, batch_bytes=4)
    reader = source.open({source.list_logs()[0].log: 0})
    assert records(reader.poll()) == [(0, b"1"), (2, b"2")]
    with path.open("ab") as file:
        file.write(b"f\n")
    with pytest.raises(SourceError, match=rf"{path}: the file changed .* 9 bytes and has 11.*\.part.*--again"):
        read_batches(reader)
    reader.close()


@pytest.mark.parametrize("size", [5, 0])
def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"1\n2\n3\n4\n")
    source = FileSource(path, batch_bytes=4)
    reader = source.open({source.list_logs()[0].log: 0})
    reader.poll()
    os.truncate(path, size)
    with pytest.raises(SourceError, match="the file changed while it was read: it had 8 bytes and ends at"):
        read_batches(reader)


def test_a_file_that_changed_between_listing_and_reading_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"1\n")
    source = FileSource(path)
    log = source.list_logs()[0].log
    path.write_bytes(b"1\n2\n")
    with pytest.raises(SourceError, match="2 bytes and has 4"):
        source.open({log: 0}).poll()
    path.unlink()
    with pytest.raises(SourceError, match="cannot be read on at byte 0: No such file"):
        source.open({log: 0}).poll()


def test_reading_goes_on_only_where_a_line_starts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\n")
    source = FileSource(path)
    log = source.list_logs()[0].log
    assert records(read_all(source.open({log: 4}))) == [(4, b"two")]
    with pytest.raises(SourceError, match="no line starts at byte 5"):
        source.open({log: 5}).poll()
    with pytest.raises(SourceError, match=r"byte 9, .* past the file's end at 8"):
        source.open({log: 9})
    with pytest.raises(SourceError, match="no file for log/other"):
        source.open({LogId("log", "other"): 0})
