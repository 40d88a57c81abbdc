"""The Arrow streams of one batch of records whose layout is known: read by compiled code, all at once."""

from collections.abc import Sequence

import numpy as np

from dataflows.arrow_layouts import BUFFER, NO_COLUMN, SOURCE, Layouts
from dataflows.scan import Columns
from dataflows.scan_arrow import ODD, SMALLEST_ROW, Streams, fill_streams, survey_streams
from dataflows.scan_names import TextTable
from schemas.formats.arrow import plain_json, read, row_json
from schemas.log import Int64s, RecordBatch, UInt64s


class KnownStreams:
    """Those records `numbers` of a batch that are streams of a known layout.

    `rows` is how many rows each of the numbers has, 0 where it is not among them.
    """

    def __init__(self, records: RecordBatch, numbers: Int64s, layouts: Layouts, names: TextTable) -> None:
        self._records = records
        self._data = np.frombuffer(records.data, np.uint8)
        self._starts = np.array(records.starts, np.int64)
        ends = np.array(records.ends, np.int64)
        self._numbers = numbers
        self._table = layouts.table.copy()  # a layout that is learned meanwhile may take another's place
        count, room = len(numbers), int((ends[numbers] - self._starts[numbers]).sum()) // SMALLEST_ROW + 1
        self._streams = Streams(
            np.empty(count, np.int32),
            np.zeros(count, np.int64),
            np.zeros(count, np.int64),
            np.empty(count, np.int64),
            np.empty(room, np.int32),
        )
        survey_streams(self._data, self._starts, ends, numbers, self._table, names.address, self._streams)
        self.rows = self._streams.rows

    @property
    def odd(self) -> list[tuple[int, Int64s]]:
        """Return, for each stream that has some, its place among the numbers and its odd rows."""
        found = []
        for k in np.flatnonzero(self._streams.odd).tolist():
            first = int(self._streams.first[k])
            categories = self._streams.found[first : first + int(self.rows[k])]
            found.append((k, np.flatnonzero(categories == ODD)))
        return found

    def fill(self, key: UInt64s, firsts: Int64s, columns: Columns) -> None:
        """Write each stream's rows into the columns, from its row in `firsts` on."""
        fill_streams(self._data, self._starts, self._numbers, self._table, key, self._streams, firsts, columns)

    def raw(self, row: int, columns: Columns, categories: Sequence[str]) -> bytes | None:
        """Return the JSON of the event in a row of the columns; None where it is of no such stream."""
        number = int(columns.record[row])
        k = int(np.searchsorted(self._numbers, number))
        if k == len(self._numbers) or self._numbers[k] != number or not self.rows[k]:
            return None
        if self._table[self._streams.layout[k], BUFFER + SOURCE] == NO_COLUMN:
            return plain_json(
                self._records.data[columns.start[row] : columns.end[row]].decode(),
                int(columns.org[row]),
                int(columns.project[row]),
                categories[columns.category[row]],
                int(columns.quantity[row]),
                int(columns.timestamp[row]),
            )
        index = int(columns.position[row])
        for batch in read(self._records.data[self._records.starts[number] : self._records.ends[number]]):
            if index < batch.num_rows:
                return row_json(batch, index)
            index -= batch.num_rows
        raise AssertionError(f"record {number} has no row {columns.position[row]}")
