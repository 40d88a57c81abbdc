"""What the contract judged, written into the columns of a batch."""

import numpy as np

from dataflows.hashing import MAX_TEXT, hash_events, hash_kept
from dataflows.scan import Columns
from dataflows.scan_groups import Dimensions
from dataflows.scan_words import SLACK
from schemas.formats.base import Rejected
from schemas.formats.judge import Judged
from schemas.log import NO_VALUES, KeptValues, UInt64s
from schemas.verdicts import ACCEPTED, NOT_BILLABLE, code_of


class Judgement:
    """The judged events of one batch.

    By row, `raws` has each one's own bytes, `details` what was wrong with it, `kept` what is kept of its attributes.
    """

    def __init__(self, key: UInt64s, dimensions: Dimensions, subreasons: dict[str, int]) -> None:
        """Values of dimensions and words for what is not billable get their rows in those two, which may grow."""
        self.raws: dict[int, bytes] = {}
        self.details: dict[int, str] = {}
        self.kept: dict[int, KeptValues] = {}
        self._key = key
        self._dimensions = dimensions
        self._subreasons = subreasons
        self._refused: list[tuple[int, int]] = []
        self._decoded: list[tuple[int, int, int, int, int, int, int, int, int]] = []
        self._ids: list[bytes] = []

    def add(self, row: int, judged: Judged) -> None:
        """Take up the event of that row."""
        outcome = judged.outcome
        self.raws[row] = judged.raw
        if isinstance(outcome, Rejected):
            self.details[row] = outcome.detail
            self._refused.append((row, code_of(outcome.reason)))
            return
        event_id = b"" if outcome.event_id is None else outcome.event_id.encode()
        assert len(event_id) <= MAX_TEXT, f"an event id of {len(event_id)} bytes: the hash's keys do not reach"
        self._ids.append(event_id)
        if outcome.kept != NO_VALUES:
            self.kept[row] = outcome.kept
        word = outcome.not_billable
        self._decoded.append(
            (
                row,
                ACCEPTED if word is None else NOT_BILLABLE,
                outcome.org_id,
                outcome.project_id,
                outcome.category,
                outcome.quantity,
                outcome.timestamp,
                self._dimensions.row_of(outcome.dimensions),
                0 if word is None else self._subreasons.setdefault(word, len(self._subreasons)),
            )
        )

    def write(self, columns: Columns) -> None:
        """Write all events that were taken up into their rows."""
        if self._refused:
            rows, codes = np.array(self._refused, np.int64).T
            for column in columns:
                if column is not columns.record and column is not columns.position:
                    column[rows] = 0
            columns.verdict[rows] = codes
        if self._decoded:
            self._write_decoded(columns)
        for row, kept in self.kept.items():
            columns.payload[row] ^= hash_kept(self._key, kept)

    def _write_decoded(self, columns: Columns) -> None:
        values = np.array(self._decoded, np.int64).T.copy()
        rows = values[0]
        columns.verdict[rows] = values[1]
        columns.org[rows] = values[2]
        columns.project[rows] = values[3]
        columns.category[rows] = values[4]
        columns.quantity[rows] = values[5]
        columns.timestamp[rows] = values[6]
        columns.dimensions[rows] = values[7]
        columns.subreason[rows] = values[8]
        columns.id_high[rows] = 0
        columns.id_low[rows] = 0
        hash_events(
            self._key,
            rows,
            np.frombuffer(b"".join(self._ids) + bytes(SLACK), np.uint8),
            np.cumsum([len(event_id) for event_id in self._ids]),
            self._dimensions.hashes,
            columns.org,
            columns.project,
            columns.category,
            columns.quantity,
            columns.timestamp,
            columns.dimensions,
            columns.id_high,
            columns.id_low,
            columns.payload,
        )
