"""The fast way to get records out of librdkafka: no Python object a message.

The client's C library is called directly, through its public and stable interface: a batch of message pointers at a
time, read, copied and released by a compiled loop. About a third of the CPU that consume() takes. Where that cannot be
(another platform, no library to be found, another version than the one that Python's client runs) `FastUnavailable`
says so, and the portable fetcher serves.
"""

import ctypes
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import confluent_kafka
import llvmlite.binding  # type: ignore[import-untyped]  # ships no type information
import numpy as np
from numba import types
from numpy.typing import NDArray

from dataflows.compiled import compiled
from dataflows.sources.kafka_reader import Notice, Piece
from schemas.errors import SettingsError
from schemas.log import Int64s

CONSUMER: Final = 1
LOG_APPEND_TIME: Final = 2
WORDS: Final = 9
"""64-bit words of rd_kafka_message_t: err (32 bits), rkt, partition (32 bits), payload, len, key, key_len, offset,
_private."""

ERROR, TOPIC, PARTITION, PAYLOAD, SIZE, OFFSET = 0, 1, 2, 3, 4, 7
"""Which of these words holds what."""


class FastUnavailable(Exception):
    """The library cannot be called directly here; the message says why."""


class MessageLayout(ctypes.Structure):
    """rd_kafka_message_t as rdkafka.h declares it, to check the words above by."""

    _fields_ = (
        ("err", ctypes.c_int),
        ("rkt", ctypes.c_void_p),
        ("partition", ctypes.c_int32),
        ("payload", ctypes.c_void_p),
        ("len", ctypes.c_size_t),
        ("key", ctypes.c_void_p),
        ("key_len", ctypes.c_size_t),
        ("offset", ctypes.c_int64),
        ("_private", ctypes.c_void_p),
    )


# Pointers are passed as integers: on every 64-bit platform that numba knows they travel in the same registers.
_address = types.uintp
_copy: Any = types.ExternalFunction("memcpy", _address(_address, _address, _address))
_timestamp: Any = types.ExternalFunction("rd_kafka_message_timestamp", types.int64(_address, _address))
_destroy: Any = types.ExternalFunction("rd_kafka_message_destroy", types.void(_address))


@compiled
def survey(messages: NDArray[np.uintp], columns: Int64s) -> None:
    """Read the fields of every message into its row: error, partition, size, offset, payload, timestamp, its kind."""
    message = np.empty(WORDS, np.int64)
    halves = message.view(np.int32)
    kind = np.zeros(1, np.int32)
    for row in range(len(messages)):
        _copy(message.ctypes.data, messages[row], 8 * WORDS)
        columns[0, row] = halves[2 * ERROR]
        columns[1, row] = halves[2 * PARTITION]
        columns[2, row] = message[SIZE]
        columns[3, row] = message[OFFSET]
        columns[4, row] = message[PAYLOAD]
        columns[5, row] = _timestamp(messages[row], kind.ctypes.data)
        columns[6, row] = kind[0]


@compiled
def gather(payloads: Int64s, sizes: Int64s, rows: Int64s, target: NDArray[np.uint8]) -> None:
    """Copy the payloads of those rows, one after the other, to the start of target."""
    place = target.ctypes.data
    for row in rows:
        size = sizes[row]
        if size > 0:
            _copy(place, payloads[row], size)
            place += size


@compiled
def release(messages: NDArray[np.uintp]) -> None:
    """Give every message back to the library."""
    for message in messages:
        _destroy(message)


@cache
def library() -> ctypes.CDLL:
    """Return the librdkafka that Python's client runs. Raises FastUnavailable."""
    if ctypes.sizeof(ctypes.c_void_p) != 8 or sys.byteorder != "little":
        raise FastUnavailable("not a 64-bit little-endian machine")
    assert ctypes.sizeof(MessageLayout) == 8 * WORDS
    for name, word in (("err", ERROR), ("rkt", TOPIC), ("partition", PARTITION), ("payload", PAYLOAD), ("len", SIZE)):
        assert getattr(MessageLayout, name).offset == 8 * word, name
    assert MessageLayout.offset.offset == 8 * OFFSET
    found = _load()
    for name, (result, arguments) in _FUNCTIONS.items():
        try:
            function = getattr(found, name)
        except AttributeError as error:
            raise FastUnavailable(f"the library has no {name}") from error
        function.restype = result
        function.argtypes = arguments
    version = found.rd_kafka_version()
    if version != confluent_kafka.libversion()[1]:
        raise FastUnavailable(f"the library found is of version {version:#x}, the client's another")
    for name in ("rd_kafka_message_timestamp", "rd_kafka_message_destroy"):
        # By name, so that the compiled loops can be cached over processes.
        llvmlite.binding.add_symbol(name, ctypes.cast(getattr(found, name), ctypes.c_void_p).value)
    return found


def _load() -> ctypes.CDLL:
    package = Path(confluent_kafka.__file__).parent
    places = [*package.parent.glob("confluent_kafka.libs/librdkafka*"), *package.glob(".dylibs/librdkafka*")]
    maps = Path("/proc/self/maps")
    if maps.exists():  # the very file that this process has loaded comes first
        loaded = {Path(line.split()[-1]) for line in maps.read_text(encoding="utf-8").splitlines() if "rdkafka" in line}
        places = [*(place for place in sorted(loaded) if place.name.startswith("librdkafka")), *places]
    for place in places:
        try:
            return ctypes.CDLL(str(place))
        except OSError:
            continue
    raise FastUnavailable("the client's librdkafka was not found as a shared library")


_POINTER: Final = ctypes.c_void_p
_TEXT: Final = ctypes.c_char_p
_FUNCTIONS: Final[Mapping[str, tuple[Any, Sequence[Any]]]] = {
    "rd_kafka_version": (ctypes.c_int, []),
    "rd_kafka_conf_new": (_POINTER, []),
    "rd_kafka_conf_destroy": (None, [_POINTER]),
    "rd_kafka_conf_set": (ctypes.c_int, [_POINTER, _TEXT, _TEXT, _TEXT, ctypes.c_size_t]),
    "rd_kafka_new": (_POINTER, [ctypes.c_int, _POINTER, _TEXT, ctypes.c_size_t]),
    "rd_kafka_poll_set_consumer": (ctypes.c_int, [_POINTER]),
    "rd_kafka_topic_partition_list_new": (_POINTER, [ctypes.c_int]),
    "rd_kafka_topic_partition_list_add": (_POINTER, [_POINTER, _TEXT, ctypes.c_int32]),
    "rd_kafka_topic_partition_list_set_offset": (ctypes.c_int, [_POINTER, _TEXT, ctypes.c_int32, ctypes.c_int64]),
    "rd_kafka_topic_partition_list_destroy": (None, [_POINTER]),
    "rd_kafka_assign": (ctypes.c_int, [_POINTER, _POINTER]),
    "rd_kafka_pause_partitions": (ctypes.c_int, [_POINTER, _POINTER]),
    "rd_kafka_queue_get_consumer": (_POINTER, [_POINTER]),
    "rd_kafka_queue_destroy": (None, [_POINTER]),
    "rd_kafka_consume_batch_queue": (ctypes.c_ssize_t, [_POINTER, ctypes.c_int, _POINTER, ctypes.c_size_t]),
    "rd_kafka_consumer_close": (ctypes.c_int, [_POINTER]),
    "rd_kafka_destroy": (None, [_POINTER]),
    "rd_kafka_message_timestamp": (ctypes.c_int64, [_POINTER, _POINTER]),
    "rd_kafka_message_destroy": (None, [_POINTER]),
    "rd_kafka_message_errstr": (_TEXT, [_POINTER]),
    "rd_kafka_err2str": (_TEXT, [ctypes.c_int]),
}


class FastFetcher:
    """A Fetcher over a consumer handle of its own, without callbacks: nothing runs Python while the library works."""

    def __init__(self, properties: Mapping[str, Any], topic: str, starts: Mapping[int, int], largest: int) -> None:
        """Assign those partitions from those offsets; `largest` is the most that a drain will be asked for.

        Raises FastUnavailable, or SettingsError for a property that the library refuses.
        """
        self._library = library()
        self._topic = topic.encode()
        self._messages = np.empty(largest, np.uintp)
        self._target = np.empty(1 << 20, np.uint8)
        self._consumer: int | None = self._new(properties)
        self._library.rd_kafka_poll_set_consumer(self._consumer)
        self._queue = self._library.rd_kafka_queue_get_consumer(self._consumer)
        self._with_partitions(starts, self._library.rd_kafka_assign)

    def drain(self, most: int, timeout: float) -> tuple[Sequence[Piece], Sequence[Notice]]:
        """Return up to `most` records that are there, or come within `timeout` seconds, and the events among them."""
        assert self._consumer is not None, "the reader is closed"
        count = self._library.rd_kafka_consume_batch_queue(
            self._queue, int(timeout * 1000), self._messages.ctypes.data, min(most, len(self._messages))
        )
        if count <= 0:
            return (), ()
        messages = self._messages[:count]
        try:
            return self._read(messages)
        finally:
            release(messages)

    def rest(self, partition: int) -> None:
        """Fetch no more of that partition."""
        self._with_partitions({partition: 0}, self._library.rd_kafka_pause_partitions)

    def close(self) -> None:
        """Release the consumer; may be called twice."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            self._library.rd_kafka_queue_destroy(self._queue)
            self._library.rd_kafka_consumer_close(consumer)
            self._library.rd_kafka_destroy(consumer)

    def __del__(self) -> None:
        if getattr(self, "_consumer", None) is not None:  # a handle that nobody closed would keep its threads
            self.close()

    def _new(self, properties: Mapping[str, Any]) -> int:
        said = ctypes.create_string_buffer(512)
        conf = self._library.rd_kafka_conf_new()
        for name, value in properties.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if self._library.rd_kafka_conf_set(conf, name.encode(), text.encode(), said, len(said)) != 0:
                self._library.rd_kafka_conf_destroy(conf)
                raise SettingsError(f"kafka consumer: {said.value.decode(errors='replace')}")
        handle: int | None = self._library.rd_kafka_new(CONSUMER, conf, said, len(said))
        if handle is None:
            self._library.rd_kafka_conf_destroy(conf)
            raise SettingsError(f"kafka consumer: {said.value.decode(errors='replace')}")
        return handle

    def _with_partitions(self, offsets: Mapping[int, int], use: Callable[[int | None, int], int]) -> None:
        listed = self._library.rd_kafka_topic_partition_list_new(len(offsets))
        for partition, offset in offsets.items():
            self._library.rd_kafka_topic_partition_list_add(listed, self._topic, partition)
            self._library.rd_kafka_topic_partition_list_set_offset(listed, self._topic, partition, offset)
        error = use(self._consumer, listed)
        self._library.rd_kafka_topic_partition_list_destroy(listed)
        if error:
            text = self._library.rd_kafka_err2str(error).decode()
            raise SettingsError(f"kafka consumer: partitions {sorted(offsets)} cannot be assigned: {text}")

    def _read(self, messages: NDArray[np.uintp]) -> tuple[Sequence[Piece], Sequence[Notice]]:
        columns = np.empty((7, len(messages)), np.int64)
        survey(messages, columns)
        errors, partitions = columns[0], columns[1]
        notices = [self._notice(messages, columns, int(row)) for row in np.flatnonzero(errors)]
        rows = np.flatnonzero(errors == 0) if notices else np.arange(len(messages))
        if not len(rows):
            return (), notices
        of_rows = partitions[rows]
        if (of_rows == of_rows[0]).all():
            groups = [rows]
        else:
            rows = rows[np.argsort(of_rows, kind="stable")]
            groups = np.split(rows, np.flatnonzero(np.diff(partitions[rows])) + 1)
        return [self._piece(columns, group) for group in groups], notices

    def _piece(self, columns: Int64s, rows: Int64s) -> Piece:
        _, partitions, sizes, offsets, payloads, stamps, kinds = columns
        ends = np.cumsum(sizes[rows])
        total = int(ends[-1])
        if total > len(self._target):
            self._target = np.empty(total + total // 4, np.uint8)
        gather(payloads, sizes, rows, self._target)
        others = np.flatnonzero(kinds[rows] != LOG_APPEND_TIME)
        return Piece(
            partition=int(partitions[rows[0]]),
            data=self._target[:total].tobytes(),
            ends=ends,
            offsets=offsets[rows],
            stamps=stamps[rows],
            not_broker=int(offsets[rows[others[0]]]) if len(others) else None,
        )

    def _notice(self, messages: NDArray[np.uintp], columns: Int64s, row: int) -> Notice:
        text = self._library.rd_kafka_message_errstr(int(messages[row])) or b""
        return Notice(int(columns[1, row]), int(columns[3, row]), int(columns[0, row]), text.decode(errors="replace"))
