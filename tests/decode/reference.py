"""What a decoder must answer, said plainly: the contract's verdict of each record, and the hashes with big integers."""

import os
from collections.abc import Sequence
from functools import cache

import numpy as np

from dataflows.decode import Decoder
from dataflows.hashing import MAX_TEXT, expand_key, hash_dimensions, hash_kept
from schemas.catalogue import Catalogue, Keep, load_catalogue
from schemas.formats.base import Decoded
from schemas.formats.judge import judge
from schemas.log import NO_VALUES, EventBatch, LogId, RecordBatch, UInt64s
from schemas.metering import MeterSettings
from schemas.verdicts import ACCEPTED, NOT_BILLABLE, code_of

EXAMPLES = int(os.environ.get("TALLY_TEST_EXAMPLES", "500"))
KEY = expand_key(b"for tests")
GROUPS = ("plan", "region", "größe", 'a"b')


KEEPS = {
    "error": Keep(value="region"),
    "transaction": Keep(amount="other"),
    "span": Keep(value="plan", amount="other2"),
    "session": Keep(),
}
"""What some categories keep of their events' attributes."""


@cache
def settings_of(name: str, grouped: bool = False, keeping: bool = False) -> MeterSettings:
    catalogue = load_catalogue()
    if keeping:
        kept = (category.model_copy(update={"keep": KEEPS.get(category.name)}) for category in catalogue.categories)
        catalogue = Catalogue(tuple(kept))
    return MeterSettings(catalogue, format=name, group_by=GROUPS if grouped else ())


@cache
def decoder_of(name: str, grouped: bool = False, keeping: bool = False) -> Decoder:
    """One decoder for many examples, so that what it remembers between batches is tested too."""
    return Decoder(settings_of(name, grouped, keeping), KEY)


def batch_of(values: Sequence[bytes], gap: bytes = b"", tail: bytes = b"") -> RecordBatch:
    """Records with `gap` between their values and `tail` behind the last."""
    ends = np.cumsum([len(value) + len(gap) for value in values], dtype=np.int64) - len(gap)
    starts = ends - [len(value) for value in values]
    offsets = np.cumsum([1 + i % 3 for i in range(len(values))], dtype=np.int64)
    return RecordBatch(
        LogId("events", "0"),
        b"".join(value + gap for value in values) + tail,
        starts.astype(np.int64),
        ends,
        offsets,
        None,
        int(offsets[-1]) + 1 if len(values) else 0,
    )


_numbers: dict[bytes, list[int]] = {}


def words_of(key: UInt64s, first: int, count: int, step: int) -> list[int]:
    """The 128-bit keys from word `first` on, every `step` words."""
    numbers = _numbers.setdefault(key[:4].tobytes(), [])
    if not numbers:
        numbers += key.tolist()
    return [numbers[first + step * i] + (numbers[first + step * i + 1] << 64) for i in range(count)]


def multilinear(keys: list[int], words: list[int]) -> int:
    """The family's definition."""
    return ((keys[0] + sum(k * x for k, x in zip(keys[1:], words, strict=False))) % 2**128) >> 64


def mixed(word: int) -> int:
    for _ in range(2):
        word = ((word ^ (word >> 32)) * 0xD6E8FEB86659FD93) % 2**64
    return word ^ (word >> 32)


def identity(key: UInt64s, org: int, event_id: str | None) -> tuple[int, int]:
    if event_id is None:
        return 0, 0
    found = event_id.encode()
    words = [org, len(found), *(int.from_bytes(found[i : i + 8], "little") for i in range(0, len(found), 8))]
    high, low = (mixed(multilinear(words_of(key, first, 1 + len(words), 4), words)) for first in (0, 2))
    return high, low if high or low else 1


def payload(key: UInt64s, event: Decoded) -> int:
    first = 4 * (1 + 2 + MAX_TEXT // 8)
    words = [event.category, event.project_id, event.quantity, event.timestamp, *hash_dimensions(key, event.dimensions)]
    found = multilinear(words_of(key, first, 7, 2), words)
    return found if event.kept == NO_VALUES else found ^ int(hash_kept(key, event.kept))


Row = tuple[object, ...]


def expected(batch: RecordBatch, settings: MeterSettings, key: UInt64s = KEY) -> list[Row]:
    """The contract's answer about each event of a batch, in the order of `answered`."""
    rows: list[Row] = []
    for record, (start, end) in enumerate(zip(batch.starts.tolist(), batch.ends.tolist(), strict=True)):
        for index, (raw, event) in enumerate(judge(batch.data[start:end], settings)):
            if not isinstance(event, Decoded):
                fields: Row = (code_of(event.reason), 0, 0, 0, 0, 0, (0, 0), 0, "", "", event.detail, NO_VALUES)
            else:
                fields = (
                    ACCEPTED if event.not_billable is None else NOT_BILLABLE,
                    event.org_id,
                    event.project_id,
                    event.category,
                    event.quantity,
                    event.timestamp,
                    identity(key, event.org_id, event.event_id),
                    payload(key, event),
                    event.dimensions,
                    event.not_billable or "",
                    None,
                    event.kept,
                )
            rows.append((record, index, raw, *fields))
    return rows


def answered(events: EventBatch) -> list[Row]:
    """A batch's columns, an event a row."""
    columns = (
        events.verdict,
        events.org,
        events.project,
        events.category,
        events.quantity,
        events.timestamp,
    )
    for column in (events.record, events.index, *columns):
        assert len(column) == len(events)
    ids = zip(events.id_high.tolist(), events.id_low.tolist(), strict=True)
    dimensions = [events.dimension_values[row] for row in events.dimensions.tolist()]
    subreasons = [events.subreasons[row] for row in events.subreason.tolist()]
    raws = [events.raw(i) for i in range(len(events))]
    details = [events.details.get(i) for i in range(len(events))]
    return list(
        zip(
            events.record.tolist(),
            events.index.tolist(),
            raws,
            *(column.tolist() for column in columns),
            ids,
            events.payload.tolist(),
            dimensions,
            subreasons,
            details,
            [events.kept.get(i, NO_VALUES) for i in range(len(events))],
            strict=True,
        )
    )
