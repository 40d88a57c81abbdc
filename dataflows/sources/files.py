"""A folder, or one file, as a source: every file is a partition log, every line a record.

    source = FileSource(Path("usage/2026-11"))
    reader = source.open({listed.log: listed.log_start for listed in source.list_logs()})
    while not reader.exhausted:
        for batch in reader.poll(): ...

A folder is a topic of its own name; each regular file in it, at any depth and through links, is a partition, named by
its path within the folder with / between the parts. Left out are hidden files and folders (.name) and names that end
in `.expected.json` (totals beside generated events), `~`, `.tmp` or `.part` (files that are not finished). One file
is a topic of its own name with one partition of that name, and is read whatever it is called.

An offset is the byte at which a line starts. How lines are told apart stands in lines.py.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from dataflows.sources.base import ListedLog, wall_clock
from dataflows.sources.file_reader import FileReader, ListedFile
from dataflows.sources.lines import MAX_LINE_BYTES
from schemas.errors import SettingsError, SourceError
from schemas.log import LogId

LEFT_OUT: Final = (".expected.json", "~", ".tmp", ".part")
"""Endings of the names that are no part of a folder's topic."""

HEAD_BYTES: Final = 4096
TAIL_BYTES: Final = (4096, 1 << 16, 1 << 20)
"""How far back the last record is looked for, in turn. Of one that is longer still, the end is hashed."""

BLANK: Final = b" \t\r\n"

COMPRESSED: Final = {b"\x1f\x8b\x08": ("gzip", "zcat"), b"\x28\xb5\x2f\xfd": ("zstd", "zstdcat")}
"""First bytes that no text has, of files that must be unpacked first."""


def topic_name(name: str) -> str:
    """Return the name if a topic may have it. Raises SettingsError."""
    if not name or "/" in name or not _is_text(name):
        raise SettingsError(
            f"{name!r} cannot be the name of a topic: it must be UTF-8 text, not empty and without /. "
            "Give one with --name"
        )
    return name


def content_hash(content: bytes) -> str:
    """Return 32 hex digits that tell this content from others."""
    return hashlib.sha256(content).hexdigest()[:32]


class FileSource:
    """The files of one folder, or one file (a Source of dataflows.sources.base)."""

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        batch_bytes: int = 4 << 20,
        longest_line: int = MAX_LINE_BYTES,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        """Take a path and, where it is not to be the path's own, the topic's name; nothing is read yet.

        `batch_bytes` bounds what one poll returns, about. `longest_line`: for tests. `clock`: the wall clock in
        microseconds, for when an end was seen. Raises SettingsError for a name that cannot be.
        """
        # Absolute, but not through links: the name that was given is the one that counts.
        self._path = os.path.abspath(path)  # noqa: PTH100  # Path.absolute keeps ".."
        self._name = topic_name(os.path.basename(self._path) if name is None else name)  # noqa: PTH119
        self._batch_bytes = batch_bytes
        self._longest_line = longest_line
        self._clock = clock
        self._files: dict[LogId, ListedFile] | None = None

    @property
    def broker_clock(self) -> bool:
        """Say that a line carries no broker's timestamp."""
        return False

    def list_logs(self) -> Sequence[ListedLog]:
        """Return the files, by their path within the folder; of each only its first and last few KiB are read.

        Raises SourceError: nothing there, nothing in it, something in it that cannot be read as a file.
        """
        found = sorted(_files(self._path))
        if not found:
            raise SourceError(
                f"{self._path}: the folder holds no file to read (hidden ones and those that end in "
                f"{', '.join(LEFT_OUT)} are left out). Check the path"
            )
        listed = [self._list(partition, path, len(found)) for partition, path in found]
        self._files = {
            log.log: ListedFile(log.log, path, log.identity["size"])
            for log, (_, path) in zip(listed, found, strict=True)
        }
        return listed

    def open(self, starts: Mapping[LogId, int]) -> FileReader:
        """Return a reader over those files in listed order, each from its offset on: where a line starts, or the end.

        Raises SourceError for a log that was not listed and for an offset past a file's end.
        """
        if self._files is None:
            self.list_logs()
        assert self._files is not None
        for log, start in starts.items():
            if log not in self._files:
                raise SourceError(f"{self._path}: there is no file for {log}")
            if not 0 <= start <= self._files[log].size:
                raise SourceError(
                    f"{self._files[log].path}: byte {start}, where reading should go on, is past the file's end at "
                    f"{self._files[log].size}: it is not the file that was read before"
                )
        return FileReader(
            [(file, starts[log]) for log, file in self._files.items() if log in starts],
            batch_bytes=self._batch_bytes,
            longest_line=self._longest_line,
            seen_at=self._clock(),
        )

    def _list(self, partition: str, path: str, partitions: int) -> ListedLog:
        identity = _identity(path)
        return ListedLog(
            log=LogId(self._name, partition),
            log_start=0,
            log_end=identity["size"],
            finite=True,
            partitions=partitions,
            identity=identity,
        )


def _identity(path: str) -> dict[str, Any]:
    """Return what tells a file from another: its place, size, and hashes of its head and its last record."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            head = os.pread(descriptor, HEAD_BYTES, 0)
            tail = _last_record(descriptor, size, head)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SourceError(_unreadable(path, error)) from error
    for magic, (kind, command) in COMPRESSED.items():
        if head.startswith(magic):
            raise SourceError(
                f"{path}: the file is compressed ({kind}). Unpack it, or pipe it in: "
                f"{command} FILE | tally run - --name NAME"
            )
    return {
        "uri": Path(path).as_uri(),
        "size": size,
        "head": content_hash(head),
        "tail": content_hash(tail) if tail else "",  # no record at all: there is nothing to take for another's
    }


def _last_record(descriptor: int, size: int, head: bytes) -> bytes:
    """Return the last line that is not blank (its last MiB where it is longer), b"" where there is none."""
    for reach in TAIL_BYTES:
        end = head if size <= len(head) else os.pread(descriptor, reach, max(0, size - reach))
        record = end.rstrip(BLANK)
        start = record.rfind(b"\n") + 1
        if start > 0 or reach >= size:
            return record[start:]
    return record or end


class _Folder(NamedTuple):
    path: str
    prefix: str
    above: frozenset[tuple[int, int]]
    """The folders on the way here, by device and inode."""


def _files(path: str) -> Iterator[tuple[str, str]]:
    """Yield each file's partition name and path, in any order. Raises SourceError."""
    try:
        found = Path(path).stat()
    except OSError as error:
        raise SourceError(_unreadable(path, error)) from error
    if not stat.S_ISDIR(found.st_mode):
        yield _partition(os.path.basename(path), path, found.st_mode), path  # noqa: PTH119
        return
    folders = [_Folder(path, "", frozenset({(found.st_dev, found.st_ino)}))]
    while folders:
        folder = folders.pop()
        where = folder.path
        try:
            with os.scandir(folder.path) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name.endswith(LEFT_OUT):
                        continue
                    where = entry.path
                    mode = entry.stat().st_mode
                    if stat.S_ISDIR(mode):
                        folders.append(_below(folder, entry))
                    else:
                        yield _partition(folder.prefix + entry.name, entry.path, mode), entry.path
        except OSError as error:
            raise SourceError(_unreadable(where, error)) from error


def _below(folder: _Folder, entry: "os.DirEntry[str]") -> _Folder:
    found = entry.stat()
    place = (found.st_dev, found.st_ino)
    if place in folder.above:
        raise SourceError(f"{entry.path}: the link leads back to a folder that it is in. Remove it, or hide it (.name)")
    return _Folder(entry.path, f"{folder.prefix}{entry.name}/", folder.above | {place})


def _partition(name: str, path: str, mode: int) -> str:
    if not stat.S_ISREG(mode):
        raise SourceError(
            f"{path}: not a regular file but a pipe, a socket or a device, which cannot be read twice. Leave it out, "
            "or read it from standard input: tally run - --name NAME < PATH"
        )
    if not _is_text(name):
        raise SourceError(f"{os.fsencode(path)!r}: the file's name is not UTF-8 text. Rename it")
    return name


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # a byte of the name that is no UTF-8 stands as a lone surrogate
        return False
    return True


def _unreadable(path: str, error: OSError) -> str:
    return f"{path!s}: cannot be read: {error.strerror}. Check the path and who may read it".encode(
        errors="backslashreplace"
    ).decode()
