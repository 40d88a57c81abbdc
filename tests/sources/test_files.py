"""What a folder or a file is listed as, and what is refused."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dataflows.sources.files import TAIL_BYTES, FileSource
from schemas.errors import SettingsError, SourceError
from schemas.log import LogId
from tests.sources.reading import read_all, records_by_log


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")


def partitions(source: FileSource) -> list[str]:
    return [listed.log.partition for listed in source.list_logs()]


def test_a_folder_is_a_topic_and_its_files_the_partitions_by_path(tmp_path: Path) -> None:
    folder = tmp_path / "usage"
    write(folder, "b.jsonl", "a/2.jsonl", "a/10.jsonl", "a.jsonl", "a/deep/er/x", "ü ?#%.jsonl")
    listed = FileSource(folder).list_logs()
    assert [each.log for each in listed] == [
        LogId("usage", name) for name in ("a.jsonl", "a/10.jsonl", "a/2.jsonl", "a/deep/er/x", "b.jsonl", "ü ?#%.jsonl")
    ]
    assert {(each.log_start, each.finite, each.partitions) for each in listed} == {(0, True, 6)}
    assert [each.log_end for each in listed] == [len(each.log.partition.encode()) + 1 for each in listed]
    assert listed[-1].identity["uri"] == f"file://{folder}/%C3%BC%20%3F%23%25.jsonl"
    assert listed == FileSource(folder).list_logs()
    assert not FileSource(folder).broker_clock


def test_hidden_and_unfinished_files_and_expected_totals_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a", ".b", ".c/d", "e~", "f.tmp", "g.part", "h.expected.json", "i/j.tmp", "k.expected.json.l")
    write(tmp_path, "m.part/n")
    assert partitions(FileSource(tmp_path, name="usage")) == ["a", "k.expected.json.l"]
    assert partitions(FileSource(tmp_path / "f.tmp")) == ["f.tmp"]  # named outright


def test_one_file_is_a_topic_with_one_partition(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", "b.jsonl")
    assert [each.log for each in FileSource(tmp_path / "a.jsonl").list_logs()] == [LogId("a.jsonl", "a.jsonl")]
    assert [each.log for each in FileSource(tmp_path / "a.jsonl", name="x").list_logs()] == [LogId("x", "a.jsonl")]


def test_a_relative_path_gets_its_full_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "usage/a/b")
    monkeypatch.chdir(tmp_path / "usage" / "a")
    for path in (Path(), Path("../a"), Path("b/..")):
        [listed] = FileSource(path).list_logs()
        assert listed.log == LogId("a", "b")
        assert listed.identity["uri"] == (tmp_path / "usage/a/b").as_uri()


def test_links_are_followed_and_loops_refused(tmp_path: Path) -> None:
    write(tmp_path, "real/a", "usage/b")
    usage = tmp_path / "usage"
    (usage / "one").symlink_to(tmp_path / "real")
    (usage / "two").symlink_to(tmp_path / "real")  # twice, but no loop
    (usage / "file").symlink_to(tmp_path / "real" / "a")
    assert partitions(FileSource(usage)) == ["b", "file", "one/a", "two/a"]
    (tmp_path / "real" / "back").symlink_to(usage)
    with pytest.raises(SourceError, match=r"usage/(one|two)/back: the link leads back"):
        FileSource(usage).list_logs()


def test_a_link_to_itself_and_a_link_to_nothing_are_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(SourceError, match=rf"{link}: cannot be read: Too many levels of symbolic links"):
        FileSource(tmp_path, name="usage").list_logs()
    link.unlink()
    link.symlink_to(tmp_path / "nothing")
    with pytest.raises(SourceError, match=rf"{link}: cannot be read: No such file"):
        FileSource(tmp_path, name="usage").list_logs()


def test_identity_changes_with_size_head_and_last_record(tmp_path: Path) -> None:
    path = tmp_path / "log"

    def identity(content: bytes) -> dict[str, object]:
        path.write_bytes(content)
        return FileSource(path).list_logs()[0].identity

    lines = [b"%08d" % number for number in range(2000)]  # 9 bytes a line: 4 KiB end within line 455
    base = identity(b"\n".join(lines) + b"\n")
    assert base == identity(b"\n".join(lines) + b"\n")

    def changed(content: bytes) -> set[str]:
        found = identity(content)
        return {key for key in base if base[key] != found[key]}

    assert changed(b"\n".join([b"x" * 8, *lines[1:]]) + b"\n") == {"head"}
    assert changed(b"\n".join([*lines[:-1], b"x" * 8]) + b"\n") == {"tail"}
    assert changed(b"\n".join(lines)) == {"size"}
    assert changed(b"\n".join(lines) + b"\n \r\n\t\n") == {"size"}  # the last record is the last that is one
    assert changed(b"\n".join([*lines, b"more"])) == {"size", "tail"}


@pytest.mark.parametrize("length", [1, 5000, 70_000, 3 << 20])
def test_the_last_record_is_found_however_long_it_is(tmp_path: Path, length: int) -> None:
    path = tmp_path / "log"
    found = []
    for last in (b"a", b"b"):
        for rest in (b"", b"\n", b"\n" * 5000):
            path.write_bytes(b"0" * 6000 + b"\n" + b"x" * length + last + rest)
            found.append(FileSource(path).list_logs()[0].identity["tail"])
    assert not set(found[:3]) & set(found[3:])
    if length < TAIL_BYTES[-1]:  # of a longer one the end is hashed, as far as it is looked at
        assert len(set(found)) == 2


def test_what_stands_before_the_last_record_is_not_in_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "log"
    found = set()
    for before in (b"a", b"b"):
        path.write_bytes(b"0123456\n" * (1 << 18) + before + b"\nlast\n")
        found.add(FileSource(path).list_logs()[0].identity["tail"])
    assert len(found) == 1


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\t\n"])
def test_a_file_without_a_record_is_a_log_and_has_no_tail(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    source = FileSource(path)
    [listed] = source.list_logs()
    assert (listed.log_end, listed.identity["tail"]) == (len(content), "")
    assert all(not records for records in records_by_log(read_all(source.open({listed.log: 0}))).values())


def test_listing_reads_no_more_than_both_ends(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.write(b"first\n")
        file.seek(1 << 40)  # a hole of a terabyte: this test ends only because it is not read
        file.write(b"\nlast\n")
    assert FileSource(path).list_logs()[0].log_end == (1 << 40) + 6


def test_a_missing_path_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=rf"{tmp_path}/none: cannot be read: No such file .* Check the path"):
        FileSource(tmp_path / "none").list_logs()
    with pytest.raises(SourceError, match=rf"{tmp_path}: the folder holds no file to read .*\.tmp"):
        FileSource(tmp_path, name="usage").list_logs()
    write(tmp_path, ".hidden", "x.tmp", "sub/.hidden")
    with pytest.raises(SourceError, match="holds no file to read"):
        FileSource(tmp_path, name="usage").list_logs()


def test_pipes_sockets_and_devices_are_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path, pipe):
        with pytest.raises(SourceError, match=rf"{pipe}: not a regular file.*tally run - --name"):
            FileSource(path, name="usage").list_logs()
    pipe.unlink()
    with socket.socket(socket.AF_UNIX) as listening, tempfile.TemporaryDirectory() as folder:
        listening.bind(f"{folder}/socket")
        with pytest.raises(SourceError, match="not a regular file"):
            FileSource(Path(folder)).list_logs()
    with pytest.raises(SourceError, match="not a regular file"):
        FileSource(Path("/dev/null")).list_logs()


def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9"
    Path(os.fsdecode(odd)).write_text("1\n")
    with pytest.raises(SourceError, match=r"caf\\xe9': the file's name is not UTF-8 text. Rename it"):
        FileSource(tmp_path, name="usage").list_logs()
    with pytest.raises(SettingsError, match="UTF-8"):
        FileSource(Path(os.fsdecode(odd)))


@pytest.mark.parametrize("name", ["", "a/b", "\udce9"])
def test_a_name_that_no_topic_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"cannot be the name of a topic.*--name"):
        FileSource(tmp_path, name=name)


def test_the_root_folder_needs_a_name() -> None:
    with pytest.raises(SettingsError, match="--name"):
        FileSource(Path("/"))


@pytest.mark.parametrize(("magic", "command"), [(b"\x1f\x8b\x08", "zcat"), (b"\x28\xb5\x2f\xfd\x24", "zstdcat")])
def test_compressed_files_are_refused_with_the_way_to_read_them(tmp_path: Path, magic: bytes, command: str) -> None:
    path = tmp_path / "log.z"
    path.write_bytes(magic + b"...")
    with pytest.raises(SourceError, match=rf"{path}: the file is compressed.*{command} FILE \| tally run -"):
        FileSource(path).list_logs()


@contextmanager
def not_root() -> Iterator[None]:
    """Give up the right to read everything, where this process has it."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_files_and_folders_that_may_not_be_read_are_refused() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        write(folder, "usage/closed", "usage/sub/a")
        usage = folder / "usage"
        (usage / "closed").chmod(0)
        with not_root(), pytest.raises(SourceError, match=r"usage/closed: cannot be read: Permission denied"):
            FileSource(usage).list_logs()
        (usage / "closed").unlink()
        (usage / "sub").chmod(0)
        with not_root(), pytest.raises(SourceError, match=r"usage/sub: cannot be read: Permission denied"):
            FileSource(usage).list_logs()
        (usage / "sub").chmod(0o755)


def test_thousands_of_small_files_are_listed_and_read(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"{number:04}").write_bytes(b"%d\n" % number)
    source = FileSource(tmp_path, name="usage")
    starts = {listed.log: 0 for listed in source.list_logs()}
    found = records_by_log(read_all(source.open(starts)))
    assert list(found.values()) == [[(0, b"%d" % number)] for number in range(3000)]
