"""Standard input as a source: one log under a given name, from the input's first byte.

    source = StdinSource(sys.stdin.buffer, name="usage-november")

An offset is the byte at which a line starts (lines.py), counted from the input's first. The one partition is "0". Input
that is given again under its name is checked by its first 4 KiB and read on from where metering stopped, by reading
and dropping what comes before. So what is piped in must be the whole input each time, and the same.
"""

import io
import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO, Final

import numpy as np

from dataflows.sources.base import ListedLog, LogEnd, wall_clock
from dataflows.sources.files import HEAD_BYTES, content_hash, topic_name
from dataflows.sources.lines import LINE_FEED, MAX_LINE_BYTES, cut_line, split_lines
from schemas.errors import SourceError
from schemas.log import LogId, RecordBatch
from schemas.verdicts import MAX_RAW_BYTES

PARTITION: Final = "0"

WAIT: Final = 0.04
"""Seconds that a poll waits for more input at most."""

LOOK_EVERY: Final = 0.1
"""Seconds between two looks at whether the run is to stop, while its first bytes are waited for."""

READ_BYTES: Final = 1 << 18
"""How much is asked for at a time; a pipe seldom has more."""


class StdinSource:
    """A stream of lines (a Source of dataflows.sources.base), which can be opened once."""

    def __init__(
        self,
        stream: BinaryIO,
        *,
        name: str,
        batch_bytes: int = 4 << 20,
        longest_line: int = MAX_LINE_BYTES,
        clock: Callable[[], int] = wall_clock,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take a stream of which nothing was read, and the topic's name; nothing is read yet.

        `batch_bytes` bounds what one poll returns, about. `longest_line`: for tests. `clock`: the wall clock in
        microseconds, for when the end was seen. `should_stop` ends the wait for the first bytes. Raises SettingsError
        for a name that cannot be.
        """
        self._log = LogId(topic_name(name), PARTITION)
        self._input = Input(stream)
        self._batch_bytes = batch_bytes
        self._longest_line = longest_line
        self._clock = clock
        self._should_stop = should_stop
        self._opened = False

    @property
    def broker_clock(self) -> bool:
        """Say that a line carries no broker's timestamp."""
        return False

    def list_logs(self) -> Sequence[ListedLog]:
        """Return the one log; its end is known only where that lies within the first 4 KiB.

        Waits until as much has come, or the end: until then nobody can say whether this is the input that was
        read before; so there is no log where the run was asked to stop meanwhile. Raises SourceError where it cannot
        be read.
        """
        head = self._input.head(HEAD_BYTES, self._should_stop)
        if head is None:
            return []
        return [
            ListedLog(
                log=self._log,
                log_start=0,
                log_end=len(head) if len(head) < HEAD_BYTES else None,
                finite=True,
                partitions=1,
                identity={"uri": "-", "head": content_hash(head)},
            )
        ]

    def open(self, starts: Mapping[LogId, int]) -> "StdinReader":
        """Return the reader, from the offset given for the log; over no log where `starts` is empty.

        Raises SourceError for another log.
        """
        for log in starts:
            if log != self._log:
                raise SourceError(f"standard input is {self._log}, not {log}")
        assert not self._opened, "standard input can be read only once"
        self._opened = bool(starts)
        return StdinReader(
            self._input,
            self._log,
            starts.get(self._log),
            batch_bytes=self._batch_bytes,
            longest_line=self._longest_line,
            clock=self._clock,
        )


class StdinReader:
    """The Reader (dataflows.sources.base) over a stream.

    Guarantees: each line comes once, as soon as it is whole; a line over the limit costs no more memory than one at
    the limit. Not guaranteed: that what comes before the start offset is what it was, beyond the head.
    """

    def __init__(
        self,
        source: "Input",
        log: LogId,
        start: int | None,
        *,
        batch_bytes: int,
        longest_line: int,
        clock: Callable[[], int],
    ) -> None:
        """Take the input, at its first byte, and the offset of the line to start at (None: read nothing)."""
        self._input = source
        self._log = log
        self._start = start or 0
        self._longest = longest_line
        # No more than a line's limit at once: so only the first line of what comes can be over it.
        self._most = min(batch_bytes, longest_line)
        self._clock = clock
        self._to_drop = self._start
        self._dropped_last = LINE_FEED
        self._at = self._start  # where the line starts whose first pieces are held
        self._held: list[bytes] = []
        self._held_size = 0
        self._end: LogEnd | None = None
        self._done = start is None

    def poll(self) -> list[RecordBatch]:
        """Return the lines that came within WAIT seconds; [] while there are none. The end comes as a batch, too.

        Raises SourceError where the input cannot be read, or is not the one that was read before.
        """
        if self._done:
            return []
        came, ended = self._gather()
        came = self._without_dropped(came, ended)
        batches = self._batches(came, ended)
        if ended:
            assert not self._held_size
            if not batches:  # the reading of a log begins with a batch, also where it starts at the end
                none = np.empty(0, np.int64)
                batches.append(RecordBatch(self._log, b"", none, none, none, None, self._at))
            self._end = LogEnd(self._at, self._clock())
            self._done = True
        return batches

    def ends(self) -> Mapping[LogId, LogEnd]:
        """Return the log's end once it was met."""
        return {} if self._end is None else {self._log: self._end}

    @property
    def exhausted(self) -> bool:
        """Say whether the end was met and every line before it handed out."""
        return self._done

    def close(self) -> None:
        """Do nothing: the stream is its owner's."""

    def _gather(self) -> tuple[bytes, bool]:
        """Return what comes within WAIT seconds, up to a batch, and whether the input ended."""
        deadline = time.monotonic() + WAIT
        pieces: list[bytes] = []
        size = 0
        while size < self._most:
            piece = self._input.read(min(READ_BYTES, self._most - size), deadline - time.monotonic())
            if piece is None:
                break
            if not piece:
                return b"".join(pieces), True
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces), False

    def _without_dropped(self, came: bytes, ended: bool) -> bytes:
        if self._to_drop:
            dropped = came[: self._to_drop]
            came = came[self._to_drop :]
            self._to_drop -= len(dropped)
            if dropped:
                self._dropped_last = dropped[-1]
            if ended and self._to_drop:
                self._refuse(f"it ends at byte {self._start - self._to_drop}, before byte {self._start}")
        if came and self._dropped_last != LINE_FEED:
            self._refuse(f"no line starts at byte {self._start}")
        if came:
            self._dropped_last = LINE_FEED
        return came

    def _refuse(self, why: str) -> None:
        raise SourceError(
            f"{self._log}: standard input is not the input that was read before under this name: {why}, where reading "
            "should go on. Pipe in the whole input again, from its first byte, or give new input a new --name. Nothing "
            "of it was counted"
        ).at(self._log, self._start)

    def _batches(self, came: bytes, ended: bool) -> list[RecordBatch]:
        feed = came.find(b"\n")
        if feed < 0 and not ended:
            self._hold(came)
            return []
        batches: list[RecordBatch] = []
        first_size = self._held_size + (feed if feed >= 0 else len(came))
        if first_size > self._longest:
            self._hold(came[:feed] if feed >= 0 else came)
            batches.append(self._cut(first_size, self._at + first_size + (feed >= 0)))
            came = came[feed + 1 :] if feed >= 0 else b""
        data = b"".join((*self._held, came)) if self._held else came
        lines = split_lines(data, at_end=ended)
        self._held, self._held_size = [], 0
        self._hold(data[lines.taken :])
        if lines.taken:
            offsets = lines.starts + self._at
            self._at += lines.taken
            batches.append(RecordBatch(self._log, data, lines.starts, lines.ends, offsets, None, self._at))
        return batches

    def _hold(self, piece: bytes) -> None:
        """Keep a piece of a line that is not whole yet; of a line over the limit only as much as will be needed."""
        if not piece:
            return
        over = self._held_size > self._longest
        self._held_size += len(piece)
        if not over:
            self._held.append(piece)
            if self._held_size > self._longest:
                self._held = [_first(self._held, MAX_RAW_BYTES)]

    def _cut(self, size: int, next_offset: int) -> RecordBatch:
        value = cut_line(b"".join(self._held), size, self._longest)
        one = np.zeros(1, np.int64)
        batch = RecordBatch(self._log, value, one, one + len(value), one + self._at, None, next_offset)
        self._held, self._held_size, self._at = [], 0, next_offset
        return batch


def _first(pieces: list[bytes], size: int) -> bytes:
    """Return the first bytes of the pieces, without putting them all together."""
    first = b""
    for piece in pieces:
        if len(first) == size:
            break
        first += piece[: size - len(first)]
    return first


class Input:
    """A stream whose first bytes can be looked at before they are read, and that is read without waiting long.

    A stream over a descriptor (a pipe, a terminal, a file) is read from that; any other just as it comes.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Take a stream of which nothing was read yet."""
        self._stream = stream
        raw = stream.raw if isinstance(stream, io.BufferedReader) else stream
        self._descriptor = raw.fileno() if isinstance(raw, io.FileIO) else None
        self._looked_at = b""
        self._ended = False
        self._poll = select.poll()
        if self._descriptor is not None:
            self._poll.register(self._descriptor, select.POLLIN)

    def head(self, size: int, should_stop: Callable[[], bool]) -> bytes | None:
        """Return the first bytes, fewer only where the input ends; None where the wait for them was to stop.

        To be asked before any read.
        """
        while len(self._looked_at) < size and not self._ended:
            if should_stop():
                return None
            self._looked_at += self._next(size - len(self._looked_at), LOOK_EVERY) or b""
        return self._looked_at[:size]

    def read(self, size: int, timeout: float) -> bytes | None:
        """Return up to `size` bytes; b"" at the end, None where nothing came within `timeout` seconds.

        Raises SourceError where the input cannot be read.
        """
        if self._looked_at:
            piece, self._looked_at = self._looked_at[:size], self._looked_at[size:]
            return piece
        return b"" if self._ended else self._next(size, timeout)

    def _next(self, size: int, timeout: float) -> bytes | None:
        try:
            if self._descriptor is None:
                piece = self._stream.read(size)
            else:
                if not self._poll.poll(max(0, int(timeout * 1000))):
                    return None
                piece = os.read(self._descriptor, size)
        except BlockingIOError:  # somebody else emptied the pipe first
            return None
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            raise SourceError(f"standard input cannot be read: {error}. Check what is piped in") from error
        self._ended = not piece
        return piece
