"""Decode: a batch of records in, columns of events out.

    decoder = Decoder(settings)
    events = decoder(records)      # any number of times, any log's records

The compiled scan takes the common shapes, `dataflows.decode_arrow` the columns of Arrow streams; every record that they
leave is judged by the contract (schemas.formats.judge), event by event. The answer is the contract's for any bytes:
only the speed depends on who took a record.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from dataflows.arrow_streams import KnownStreams
from dataflows.decode_arrow import ArrowEvents, ArrowReader
from dataflows.decode_judged import Judgement
from dataflows.hashing import PROCESS_KEY
from dataflows.scan import NOT_TAKEN, SMALLEST_EVENT, Columns, new_columns, scan_records, spread
from dataflows.scan_groups import Dimensions, Groups
from dataflows.scan_names import TextTable
from dataflows.scan_words import SLACK
from schemas.formats.base import Context, Rejected
from schemas.formats.judge import Judge, Judged
from schemas.formats.kept import kept_of
from schemas.formats.sentry_outcomes import OUTCOMES
from schemas.formats.strict_json import load_first
from schemas.formats.values import ARROW
from schemas.log import NO_VALUES, EventBatch, Int64s, RecordBatch, UInt64s
from schemas.metering import MeterSettings
from schemas.verdicts import ACCEPTED

NATIVE: Final = "tally"
SENTRY: Final = "sentry-outcomes"

LARGEST_NUMBER: Final = 65_535
"""A category with a larger number is left to the contract: the scan finds a number's row by its place in a list."""


_NEVER_FOUND: Final = b'"'
"""No text that the scan looks up holds a bare quote. A category whose events' attributes are kept stands under such a
name, and under its own so many rows later that the scan knows it by its row: of all others it asks nothing more."""


class Decoder:
    """Decodes batches under fixed settings, in one thread. `taken` and `judged` count the events of each kind so far.

    Every EventBatch owns its columns. Hashes depend on the keys, which are the process's unless others are given.
    """

    def __init__(self, settings: MeterSettings, key: UInt64s = PROCESS_KEY) -> None:
        """Raise SettingsError where the settings name a format that there is not."""
        catalogue = settings.catalogue
        self.taken = 0
        self.judged = 0
        self._categories = catalogue.names
        self._judge = Judge(settings)
        self._format = settings.format
        self._key = key
        keeping = {row for row, keep in catalogue.keeps().items() if keep.attributes}
        plain = [
            _NEVER_FOUND + name.encode() if row in keeping else name.encode()
            for row, name in enumerate(catalogue.names)
        ]
        kept = [
            name.encode() if row in keeping else 2 * _NEVER_FOUND + name.encode()
            for row, name in enumerate(catalogue.names)
        ]
        self._names = TextTable([*plain, *kept] if keeping else plain)
        self._plain = len(plain)
        self._keeping = bool(keeping) and self._format == NATIVE
        self._context = Context.of(settings)
        self._ids = list_of_ids({id_: row for id_, row in catalogue.row_by_id().items() if row not in keeping})
        self._groups = Groups(settings.group_by) if settings.group_by else None
        self._dimensions = Dimensions(key)
        self._subreasons = {"": 0, **{name: number for number, name in enumerate(OUTCOMES) if number}}
        rows = {name: row for name, row in catalogue.row_by_name().items() if row not in keeping}
        self._arrow = ArrowReader(rows, TextTable(plain), key, self._judge, grouped=bool(settings.group_by))

    def __call__(self, records: RecordBatch) -> EventBatch:
        """Decode a batch. Never raises for any bytes."""
        self._dimensions.forget()
        kept_at = np.zeros(len(records.data) // SMALLEST_EVENT + 2 if self._keeping else 1, np.int64)
        columns, rows = self._scan(records, kept_at)
        left = np.flatnonzero(columns.verdict[:rows] == NOT_TAKEN)
        self.taken += rows - len(left)
        judgement = Judgement(self._key, self._dimensions, self._subreasons)
        streams: dict[int, ArrowEvents] = {}
        known: KnownStreams | None = None
        if len(left):
            numbers = columns.record[left].astype(np.int64)
            known = self._arrow.known(records, numbers)
            sizes = known.rows.copy()
            pieces = {k: self._events(records, int(numbers[k])) for k in np.flatnonzero(sizes == 0).tolist()}
            sizes[list(pieces)] = [len(piece) for piece in pieces.values()]
            columns, rows, firsts = make_room(columns, rows, left, sizes)
            known.fill(self._key, firsts, columns)
            self.taken += int(known.rows.sum())
            for k, odd in known.odd:
                value = records.data[records.starts[numbers[k]] : records.ends[numbers[k]]]
                for row, judged in zip(odd.tolist(), self._arrow.judge_rows(value, odd), strict=True):
                    judgement.add(int(firsts[k]) + row, judged)
                self.taken -= len(odd)
            for k, piece in pieces.items():
                first = int(firsts[k])
                if isinstance(piece, ArrowEvents):
                    streams[int(numbers[k])] = piece
                    put_stream(columns, first, piece)
                    for row, judged in piece.judged.items():
                        judgement.add(first + row, judged)
                    self.taken += len(piece) - len(piece.judged)
                else:
                    for row, judged in enumerate(piece, first):
                        judgement.add(row, judged)
        if kept_at[0]:
            self._keep(records, columns, rows, kept_at, judgement)
        if judgement.raws or judgement.kept:
            judgement.write(columns)
            self.judged += len(judgement.raws)
        data, record, index, starts, ends = records.data, columns.record, columns.position, columns.start, columns.end

        def raw(event: int) -> bytes:
            found = judgement.raws.get(event)
            if found is not None:
                return found
            stream = streams.get(int(record[event]))
            if stream is not None:
                return stream.raw(int(index[event]))
            row = None if known is None else known.raw(event, columns, self._categories)
            return data[starts[event] : ends[event]] if row is None else row

        return EventBatch(
            records,
            columns.record[:rows],
            columns.position[:rows],
            columns.verdict[:rows],
            columns.org[:rows],
            columns.project[:rows],
            columns.category[:rows],
            columns.quantity[:rows],
            columns.timestamp[:rows],
            columns.id_high[:rows],
            columns.id_low[:rows],
            columns.payload[:rows],
            columns.dimensions[:rows],
            columns.subreason[:rows],
            self._dimensions.values,
            tuple(self._subreasons),
            raw,
            judgement.details,
            judgement.kept,
        )

    def _keep(self, records: RecordBatch, columns: Columns, rows: int, kept_at: Int64s, judgement: Judgement) -> None:
        """Read what is kept of the events that the scan took; what it refuses is judged like any other event."""
        data = records.data
        marked = np.flatnonzero((columns.verdict[:rows] == ACCEPTED) & (columns.subreason[:rows] < 0))
        places = kept_at[-columns.subreason[marked]]
        columns.subreason[marked] = 0
        for row, place in zip(marked.tolist(), places.tolist(), strict=True):
            start, end = int(columns.start[row]), int(columns.end[row])
            attributes = {} if place < 0 else load_first(data[place:end].decode())
            found = kept_of(attributes, int(columns.category[row]), self._context, "attributes")
            if isinstance(found, Rejected):
                self.taken -= 1
                judgement.add(row, Judged(data[start:end], found))
            elif found != NO_VALUES:
                judgement.kept[row] = found

    def _scan(self, records: RecordBatch, kept_at: Int64s) -> tuple[Columns, int]:
        """Return the scan's columns and how many rows of them are filled."""
        count = len(records)
        if self._format not in {NATIVE, SENTRY}:
            columns = new_columns(count)
            columns.record[:] = np.arange(count)
            columns.position[:] = 0
            columns.verdict[:] = NOT_TAKEN
            return columns, count
        # Copies, so that the compiled code meets arrays of one kind, and is compiled once.
        starts, ends = np.array(records.starts, np.int64), np.array(records.ends, np.int64)
        columns = new_columns(count + len(records.data) // SMALLEST_EVENT + 1)
        # Records with too little behind them to be read a word at a time are scanned in a copy that has more.
        in_place = int(np.searchsorted(ends, len(records.data) - SLACK, side="right"))
        rows = self._scan_part(records.data, 0, starts, ends, 0, in_place, columns, kept_at, 0) if in_place else 0
        if in_place < count:
            shift = int(starts[in_place])
            rest = records.data[shift:] + bytes(SLACK)
            rows = self._scan_part(rest, shift, starts, ends, in_place, count, columns, kept_at, rows)
        return columns, rows

    def _scan_part(
        self,
        data: bytes,
        shift: int,
        starts: Int64s,
        ends: Int64s,
        first: int,
        last: int,
        columns: Columns,
        kept_at: Int64s,
        row: int,
    ) -> int:
        return scan_records(
            np.frombuffer(data, np.uint8),
            starts,
            ends,
            first,
            last,
            shift,
            self._format == NATIVE,
            self._groups.address if self._groups else 0,
            self._dimensions.table.address,
            self._dimensions.hashes,
            self._key,
            self._names.address,
            self._plain,
            self._ids.ctypes.data,
            columns,
            kept_at,
            row,
        )

    def _events(self, records: RecordBatch, record: int) -> Sequence[Judged] | ArrowEvents:
        value = records.data[records.starts[record] : records.ends[record]]
        if value[:1] == ARROW and self._format == NATIVE:
            found = self._arrow(value)
            if found is not None:
                return found
        return self._judge(value)


def list_of_ids(rows: Mapping[int, int]) -> UInt64s:
    """Return the list that the scan looks category numbers up in: its length, then each number's row + 1 (0: none)."""
    listed = {number: row for number, row in rows.items() if number <= LARGEST_NUMBER}
    size = max(listed, default=-1) + 1
    ids = np.zeros(1 + size, np.uint64)
    ids[0] = size
    for number, row in listed.items():
        ids[1 + number] = row + 1
    return ids


def make_room(columns: Columns, rows: int, left: Int64s, sizes: Int64s) -> tuple[Columns, int, Int64s]:
    """Give each of the rows `left`, which stand for a record each, as many rows as that record has events.

    Returns the columns, the number of their rows and the first row of each record.
    """
    if (sizes == 1).all():
        return columns, rows, left
    counts = np.ones(rows, np.int64)
    counts[left] = sizes
    wider = new_columns(int(counts.sum()))
    firsts: Int64s = (np.cumsum(counts) - counts)[left]
    spread(columns, counts, wider)
    return wider, len(wider.record), firsts


def put_stream(columns: Columns, first: int, events: ArrowEvents) -> None:
    """Write a stream's events into the rows from `first` on."""
    rows = slice(first, first + len(events))
    columns.verdict[rows] = ACCEPTED
    columns.org[rows] = events.org
    columns.project[rows] = events.project
    columns.category[rows] = events.category
    columns.quantity[rows] = events.quantity
    columns.timestamp[rows] = events.timestamp
    columns.id_high[rows] = events.id_high
    columns.id_low[rows] = events.id_low
    columns.payload[rows] = events.payload
    columns.dimensions[rows] = 0
    columns.subreason[rows] = 0
