"""The usage rows of one partition that may still change, as arrays that the compiled loop folds into."""

from typing import Final

import numpy as np

from dataflows import meter_kernel as k
from schemas.log import Int32s, Int64s
from schemas.usage import UsageRows

FIRST_ROWS: Final = 1024


class OpenRows:
    """Row i is `keys[i]`, `values[i]`; `slots` is a hash table from keys to rows (-1: empty), at most half full.

    Memory is 120 bytes a row (8 of them slots), times the room left for growth. A row leaves when its window is closed,
    or its late segment past, and its last change was taken: nothing in the log can change it then.
    """

    def __init__(self, category_names: tuple[str, ...]) -> None:
        self._category_names = category_names
        self._dimensions: dict[str, int] = {"": 0}
        self.used = 0
        self.keys: Int64s = np.zeros((FIRST_ROWS, k.KEY_SIZE), dtype=np.int64)
        self.values: Int64s = np.zeros((FIRST_ROWS, k.VALUE_SIZE), dtype=np.int64)
        self.slots: Int32s = np.full(2 * FIRST_ROWS, -1, dtype=np.int32)

    def rows_of_dimensions(self, values: tuple[str, ...]) -> Int32s:
        """Return, for a batch's dimension values, the numbers under which rows keep them."""
        known = self._dimensions
        return np.array([known.setdefault(value, len(known)) for value in values], dtype=np.int32)

    def make_room(self) -> None:
        """Double the room for rows."""
        self._resize(2 * len(self.keys))

    def take_changed(self) -> UsageRows:
        """Return the rows that changed since this was last asked."""
        changed = np.flatnonzero(self.values[: self.used, k.CHANGED])
        rows = self._take(changed)
        self.all_unchanged()
        return rows

    def none(self) -> UsageRows:
        """Return no rows."""
        return self._take(np.zeros(0, dtype=np.int64))

    def _take(self, numbers: Int64s) -> UsageRows:
        keys, values = self.keys[numbers], self.values[numbers]
        return UsageRows(
            org=keys[:, k.ORG],
            category=keys[:, k.CATEGORY].astype(np.int32),
            project=keys[:, k.PROJECT],
            dimensions=keys[:, k.DIMENSIONS].astype(np.int32),
            window_start=keys[:, k.WINDOW_START],
            segment=keys[:, k.SEGMENT],
            quantity=values[:, k.QUANTITY],
            events=values[:, k.ROW_EVENTS],
            max_quantity=values[:, k.MAX_QUANTITY],
            first_offset=values[:, k.FIRST_OFFSET],
            last_offset=values[:, k.LAST_OFFSET],
            first_timestamp=values[:, k.FIRST_TIMESTAMP],
            last_timestamp=values[:, k.LAST_TIMESTAMP],
            category_names=self._category_names,
            dimension_values=tuple(self._dimensions),
        )

    def all_unchanged(self) -> None:
        """Forget which rows changed."""
        self.values[: self.used, k.CHANGED] = 0

    def drop_closed(self, closed_to: int, segment: int) -> None:
        """Drop on-time rows with a window start up to `closed_to`, and late rows of segments before `segment`."""
        keys = self.keys[: self.used]
        on_time = keys[:, k.SEGMENT] == 0
        keep = np.where(on_time, keys[:, k.WINDOW_START] > closed_to, keys[:, k.SEGMENT] >= segment)
        kept = np.flatnonzero(keep)
        if len(kept) == self.used:
            return
        self.keys[: len(kept)] = keys[kept]
        self.values[: len(kept)] = self.values[kept]
        self.used = len(kept)
        self._forget_dimensions()
        size = len(self.keys)
        while size > FIRST_ROWS and self.used < size // 8:
            size //= 2
        self._resize(size)

    def oldest_offset(self) -> int | None:
        """Return the least first_offset of the open rows, None where there are none."""
        return int(self.values[: self.used, k.FIRST_OFFSET].min()) if self.used else None

    def _resize(self, size: int) -> None:
        if size != len(self.keys):
            keys, values = self.keys, self.values
            self.keys = np.zeros((size, k.KEY_SIZE), dtype=np.int64)
            self.values = np.zeros((size, k.VALUE_SIZE), dtype=np.int64)
            self.keys[: self.used], self.values[: self.used] = keys[: self.used], values[: self.used]
        self.slots = np.full(2 * size, -1, dtype=np.int32)
        k.fill_slots(self.slots, self.keys, self.used)

    def _forget_dimensions(self) -> None:
        # Values of dimensions come and go with their rows; the dictionary must not grow with the log.
        if len(self._dimensions) <= max(FIRST_ROWS, 2 * self.used):
            return
        names = tuple(self._dimensions)
        column = self.keys[: self.used, k.DIMENSIONS]
        self._dimensions = {"": 0}
        column[:] = [self._dimensions.setdefault(names[number], len(self._dimensions)) for number in column]
