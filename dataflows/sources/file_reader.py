"""Reads files, one after the other, in blocks that become RecordBatches without being copied."""

import os
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, NoReturn

import numpy as np

from dataflows.sources.base import LogEnd
from dataflows.sources.lines import cut_line, split_lines
from schemas.errors import SourceError
from schemas.log import LogId, RecordBatch
from schemas.verdicts import MAX_RAW_BYTES

MOST_FILES: Final = 64
"""How many small files one poll reads at most."""

SKIM_BYTES: Final = 1 << 20
"""How much is read at a time to find the end of a line that is too long to keep."""


class ListedFile(NamedTuple):
    """A file as it was listed: its log, where it lies, its size in bytes."""

    log: LogId
    path: str
    size: int


class FileReader:
    """The Reader (dataflows.sources.base) over some files, each finite and not changing.

    Guarantees: the files come in the order given, one open at a time, each from its start offset to its listed size;
    where a file has another size when its end is reached, that is an error before its last records are handed out.
    Memory: about `batch_bytes`, or the longest line if that is more, up to `longest_line`; a longer line costs no more.
    Not guaranteed: that a change which keeps the size is noticed while it happens (the hashes of the next run tell).
    """

    def __init__(
        self, files: Sequence[tuple[ListedFile, int]], *, batch_bytes: int, longest_line: int, seen_at: int
    ) -> None:
        """Take each file with the offset of the line to start at; `seen_at` (microseconds) is when they were listed."""
        assert batch_bytes > 0
        self._batch_bytes = batch_bytes
        self._longest = longest_line
        self._ends = {file.log: LogEnd(file.size, seen_at) for file, _ in files}
        # From the last to the first, so that the next one is popped. A file read to its end is not even opened.
        self._files = [(file, start) for file, start in reversed(files) if start != file.size]
        self._descriptor: int | None = None

    def poll(self) -> list[RecordBatch]:
        """Return the next batch of a file; several where small files follow. [] only when all are read.

        Raises SourceError where a file cannot be read, or is not as it was listed.
        """
        batches: list[RecordBatch] = []
        room = self._batch_bytes
        while self._files and len(batches) < MOST_FILES:
            file, at = self._files[-1]
            if batches and (file.log == batches[-1].log or file.size - at > room):
                break
            batch = self._batch(file, at)
            room -= batch.next_offset - at
            batches.append(batch)
        return batches

    def ends(self) -> Mapping[LogId, LogEnd]:
        """Return every file's end: its size as listed."""
        return self._ends

    @property
    def exhausted(self) -> bool:
        """Say whether every file is read to its end."""
        return not self._files

    def close(self) -> None:
        """Close the file that is open; may be called twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self.close()

    def _batch(self, file: ListedFile, at: int) -> RecordBatch:
        try:
            if self._descriptor is None:
                self._descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
                self._check_start(self._descriptor, file, at)
            batch = self._read(self._descriptor, file, at)
            self._files[-1] = (file, batch.next_offset)
            if batch.next_offset == file.size:
                self._check_size(self._descriptor, file)
                self.close()
                self._files.pop()
        except OSError as error:
            raise SourceError(
                f"{file.path}: cannot be read on at byte {at}: {error.strerror}. What was metered of it stays; make it "
                "readable and start again"
            ) from error
        return batch

    def _read(self, descriptor: int, file: ListedFile, at: int) -> RecordBatch:
        assert at < file.size
        size = min(self._batch_bytes, self._longest + 1)
        while True:
            block = _block(descriptor, file, at, min(size, file.size - at))
            # A block that may end in a line over the limit is not taken to its end here: the next read decides.
            at_end = at + len(block) == file.size and len(block) <= self._longest
            lines = split_lines(block, at_end=at_end)
            if lines.taken:
                return RecordBatch(
                    log=file.log,
                    data=block,
                    starts=lines.starts,
                    ends=lines.ends,
                    offsets=lines.starts + at,
                    timestamps=None,
                    next_offset=at + lines.taken,
                )
            if len(block) > self._longest:
                return self._cut(descriptor, file, at, block[:MAX_RAW_BYTES], at + len(block))
            del block  # before a larger one is read
            size = min(2 * size, self._longest + 1)

    def _cut(self, descriptor: int, file: ListedFile, at: int, first: bytes, read_to: int) -> RecordBatch:
        """Return the one record of a line over the limit, whose end lies at `read_to` or later."""
        end = next_offset = file.size
        while read_to < file.size:
            block = _block(descriptor, file, read_to, min(SKIM_BYTES, file.size - read_to))
            found = block.find(b"\n")
            if found >= 0:
                end = read_to + found
                next_offset = end + 1
                break
            read_to += len(block)
        value = cut_line(first, end - at, self._longest)
        return RecordBatch(
            log=file.log,
            data=value,
            starts=np.zeros(1, np.int64),
            ends=np.full(1, len(value), np.int64),
            offsets=np.full(1, at, np.int64),
            timestamps=None,
            next_offset=next_offset,
        )

    def _check_start(self, descriptor: int, file: ListedFile, at: int) -> None:
        self._check_size(descriptor, file)
        if at > 0 and os.pread(descriptor, 1, at - 1) != b"\n":
            raise SourceError(
                f"{file.path}: no line starts at byte {at}, where reading should go on: the file is not the one that "
                "was read before. Put that one back, or give the new one as a new file. Nothing more was read"
            )

    def _check_size(self, descriptor: int, file: ListedFile) -> None:
        if (now := os.fstat(descriptor).st_size) != file.size:
            _refuse_change(file, f"it had {file.size} bytes and has {now}")


def _block(descriptor: int, file: ListedFile, at: int, size: int) -> bytes:
    block = os.pread(descriptor, size, at)
    while len(block) < size:
        more = os.pread(descriptor, size - len(block), at + len(block))
        if not more:
            _refuse_change(file, f"it had {file.size} bytes and ends at {at + len(block)}")
        block += more
    return block


def _refuse_change(file: ListedFile, how: str) -> NoReturn:
    raise SourceError(
        f"{file.path}: the file changed while it was read: {how}. A file is metered once and must be finished before: "
        "write it under a name that ends in .part and rename it when it is whole, or pipe it to standard input, which "
        "may grow. Restore it as it was, or meter it as it is now with --again"
    )
