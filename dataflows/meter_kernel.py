"""The compiled loop of the meter: one pass over a batch's events in log order, every rule in its place.

This is the metering semantics, event by event; `dataflows.meter` owns the arrays, makes room in them when the loop
asks, and turns them into rows. Instants are microseconds UTC; NONE stands for "no event yet".
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dataflows.compiled import compiled
from dataflows.dedupe import DIFFERENT, NEW, NO_ROOM, SAME, SLOT_BYTES, Table, home_of, occurs
from dataflows.prefetch import AHEAD, prefetch
from dataflows.scan_words import as_int, as_word, inlined
from schemas.log import Int32s, Int64s, UInt64s
from schemas.metering import LATE_BUCKETS
from schemas.verdicts import (
    CONFLICTING_DUPLICATE,
    DUPLICATE,
    FROM_THE_FUTURE,
    NOT_BILLABLE,
    OVERFLOW,
    REJECTED,
    TOO_OLD,
)

NONE: Final = -(2**63)
MAX_TOTAL: Final = 2**63 - 1

# Places in the `state` array.
CLOCK, MAX_TIMESTAMP, BUCKET, INDEX_USED, ROWS_USED, IN_RECORD, ADMITTED, START_CLOCK, START_MAX_TIMESTAMP = range(9)
STATE_SIZE: Final = 9

# Places in the `rules` array.
(
    GROUP_BY_PROJECT,
    WINDOW,
    LATENESS,
    BUCKET_SIZE,
    HORIZON,
    MAX_FUTURE,
    MAX_AGE,
    AS_OF,
    BROKER_CLOCK,
) = range(9)
RULES_SIZE: Final = 9

# Places in the `counts` array.
RECORDS, EVENTS, ACCEPTED_EVENTS, LATE_EVENTS, DUPLICATES, QUANTITY_LOW, QUANTITY_HIGH = range(7)
COUNTS_SIZE: Final = 7

# Columns of the `keys` and `values` arrays: the open usage rows.
ORG, CATEGORY, PROJECT, DIMENSIONS, WINDOW_START, SEGMENT = range(6)
KEY_SIZE: Final = 6
QUANTITY, ROW_EVENTS, MAX_QUANTITY, FIRST_OFFSET, LAST_OFFSET, FIRST_TIMESTAMP, LAST_TIMESTAMP, CHANGED = range(8)
VALUE_SIZE: Final = 8

# Columns of the `turns` array: where the clock entered a new bucket, whether that was at the record's first admitted
# event, and the state before that record.
TURN_BUCKET, TURN_OFFSET, TURN_FIRST, TURN_CLOCK, TURN_MAX_TIMESTAMP = range(5)
TURN_SIZE: Final = 5

LINE: Final = 64
PROBED_LINES: Final = 3
"""Cache lines from an id's home on that its search goes over, but for a rare longer one."""

# Why the loop came back.
DONE, INDEX_WANTS_ROOM, INDEX_WANTS_SLOT, ROWS_WANT_ROOM, TURNS_WANT_ROOM = range(5)


@inlined
def row_hash(org: int, category: int, project: int, dimensions: int, window_start: int, segment: int) -> int:
    """Mix a row key into 63 bits."""
    mixed = (
        as_word(org) * np.uint64(0x9E3779B97F4A7C15)
        + as_word(category) * np.uint64(0xBF58476D1CE4E5B9)
        + as_word(window_start) * np.uint64(0x94D049BB133111EB)
        + as_word(project) * np.uint64(0xD6E8FEB86659FD93)
        + as_word(dimensions) * np.uint64(0xA0761D6478BD642F)
        + as_word(segment) * np.uint64(0xE7037ED1A0B428DB)
    )
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    return as_int((mixed ^ (mixed >> np.uint64(29))) & np.uint64(0x7FFFFFFFFFFFFFFF))


@compiled
def find_row(
    slots: Int32s,
    keys: Int64s,
    hashed: int,
    org: int,
    category: int,
    project: int,
    dimensions: int,
    window_start: int,
    segment: int,
) -> int:
    """Return the slot that holds the row number of a key with that row_hash, or the empty one where it belongs."""
    mask: int = slots.shape[0] - 1
    at: int = hashed & mask
    while True:
        row = slots[at]
        if row < 0:
            return at
        if (
            keys[row, ORG] == org
            and keys[row, WINDOW_START] == window_start
            and keys[row, CATEGORY] == category
            and keys[row, SEGMENT] == segment
            and keys[row, PROJECT] == project
            and keys[row, DIMENSIONS] == dimensions
        ):
            return at
        at = (at + 1) & mask


@compiled
def fill_slots(slots: Int32s, keys: Int64s, rows: int) -> None:
    """Enter the first `rows` rows into empty slots."""
    for row in range(rows):
        at = find_row(
            slots,
            keys,
            row_hash(
                keys[row, ORG],
                keys[row, CATEGORY],
                keys[row, PROJECT],
                keys[row, DIMENSIONS],
                keys[row, WINDOW_START],
                keys[row, SEGMENT],
            ),
            keys[row, ORG],
            keys[row, CATEGORY],
            keys[row, PROJECT],
            keys[row, DIMENSIONS],
            keys[row, WINDOW_START],
            keys[row, SEGMENT],
        )
        slots[at] = row


@compiled
def meter_events(
    rules: Int64s,
    state: Int64s,
    counts: Int64s,
    reasons: Int64s,
    subreasons: Int64s,
    first_record: int,
    last_record: int,
    first_event: int,
    count_from: int,
    counting: bool,
    offsets: Int64s,
    record_times: Int64s,
    event_ends: Int64s,
    verdict: NDArray[np.uint8],
    org: Int64s,
    project: Int64s,
    category: Int32s,
    quantity: Int64s,
    timestamp: Int64s,
    id_high: UInt64s,
    id_low: UInt64s,
    payload: UInt64s,
    dimensions: Int32s,
    dimension_rows: Int32s,
    subreason: Int32s,
    table: Table,
    capacity: int,
    index_limit: int,
    slots: Int32s,
    keys: Int64s,
    values: Int64s,
    turns: Int64s,
    turns_used: int,
    clock_at: Int64s,
    segment_at: Int64s,
) -> tuple[int, int, int, int]:
    """Meter events of records [first_record, last_record), the first of them from `first_event` on.

    `event_ends[r]` is the event after record r's last. Events of records before `count_from` feed clock, watermark and
    index only; `counting` says whether verdicts are counted (not in a replay). On return `verdict` holds each event's
    final verdict, `clock_at` the clock and `segment_at` the row's segment (-1 where it is in no row).

    Returns (why it came back, record, event, turns used); for DONE the record is `last_record`, otherwise the event
    named has not been metered and the call is to be repeated from there when room was made.
    """
    clock = state[CLOCK]
    max_timestamp = state[MAX_TIMESTAMP]
    current_bucket = state[BUCKET]
    used = state[INDEX_USED]
    rows = state[ROWS_USED]
    window = rules[WINDOW]
    lateness = rules[LATENESS]
    bucket_size = rules[BUCKET_SIZE]
    horizon = rules[HORIZON]
    broker_clock = rules[BROKER_CLOCK] != 0
    table_at = table.ctypes.data
    events = id_high.shape[0]
    row_room = min(keys.shape[0], slots.shape[0] // 2)
    event = first_event
    record = first_record
    asked = event
    hashes = np.empty(2 * AHEAD, np.int64)  # of the on-time rows of the events from `event` to `asked`
    mask: int = slots.shape[0] - 1
    slots_at, keys_at, values_at = slots.ctypes.data, keys.ctypes.data, values.ctypes.data
    why = DONE
    while record < last_record:
        offset = offsets[record]
        folding = offset >= count_from
        end = event_ends[record]
        if turns_used == turns.shape[0]:
            why = TURNS_WANT_ROOM
            break
        if state[IN_RECORD] == 0:
            state[IN_RECORD] = 1
            state[ADMITTED] = 0
            state[START_CLOCK] = clock
            state[START_MAX_TIMESTAMP] = max_timestamp
            if counting:
                counts[RECORDS] += 1
                counts[EVENTS] += end - event
        start_clock = state[START_CLOCK]
        start_max_timestamp = state[START_MAX_TIMESTAMP]
        if broker_clock:
            clock = max(clock, record_times[record])
            bucket = clock // bucket_size
            if bucket != current_bucket:
                turns[turns_used, TURN_BUCKET] = bucket
                turns[turns_used, TURN_OFFSET] = offset
                turns[turns_used, TURN_FIRST] = 1 - state[ADMITTED]
                turns[turns_used, TURN_CLOCK] = start_clock
                turns[turns_used, TURN_MAX_TIMESTAMP] = start_max_timestamp
                turns_used += 1
                current_bucket = bucket
        while event < end:
            # Random looks into large tables: asked for ahead of their use, a row's slot before the row that it names.
            while asked < min(event + 2 * AHEAD, events):
                probed = table_at + home_of(id_high[asked] >> np.uint64(32), capacity) * SLOT_BYTES
                for line in range(PROBED_LINES):
                    prefetch(probed + LINE * line)
                hashed = row_hash(
                    org[asked],
                    category[asked],
                    project[asked] if rules[GROUP_BY_PROJECT] != 0 else 0,
                    dimension_rows[dimensions[asked]],
                    timestamp[asked] - timestamp[asked] % window,
                    0,
                )
                hashes[asked % (2 * AHEAD)] = hashed
                prefetch(slots_at + 4 * (hashed & mask))
                asked += 1
            if event + AHEAD < events:
                row = slots[hashes[(event + AHEAD) % (2 * AHEAD)] & mask]
                if row >= 0:
                    prefetch(keys_at + 8 * KEY_SIZE * row)
                    prefetch(values_at + 8 * VALUE_SIZE * row)
                    prefetch(values_at + 8 * VALUE_SIZE * row + LINE - 8)
            found = verdict[event]
            clock_at[event] = clock
            segment_at[event] = -1
            if found >= REJECTED:
                if counting:
                    reasons[found - REJECTED] += 1
                event += 1
                continue
            if used >= index_limit:
                why = INDEX_WANTS_ROOM
                break
            if rows >= row_room:
                why = ROWS_WANT_ROOM
                break
            if turns_used == turns.shape[0]:
                why = TURNS_WANT_ROOM
                break
            instant = timestamp[event]
            now = instant if clock == NONE else clock
            clock_at[event] = now
            checked = now if broker_clock else rules[AS_OF]
            if checked != NONE:
                late_by = FROM_THE_FUTURE if instant > checked + rules[MAX_FUTURE] else 0
                if instant < checked - rules[MAX_AGE]:
                    late_by = TOO_OLD
                if late_by != 0:
                    verdict[event] = late_by
                    if counting:
                        reasons[late_by - REJECTED] += 1
                    event += 1
                    continue
            # Admitted: from here on the event moves the watermark, whatever becomes of it.
            bucket = now // bucket_size
            if bucket != current_bucket:
                turns[turns_used, TURN_BUCKET] = bucket
                turns[turns_used, TURN_OFFSET] = offset
                turns[turns_used, TURN_FIRST] = 1 - state[ADMITTED]
                turns[turns_used, TURN_CLOCK] = start_clock
                turns[turns_used, TURN_MAX_TIMESTAMP] = start_max_timestamp
                turns_used += 1
                current_bucket = bucket
            state[ADMITTED] = 1
            if found == NOT_BILLABLE:
                if counting:
                    subreasons[subreason[event]] += 1
            else:
                seen = NEW
                if id_high[event] != 0 or id_low[event] != 0:
                    seen = occurs(table, capacity, id_high[event], id_low[event], payload[event], bucket, horizon)
                    if seen == NO_ROOM:
                        why = INDEX_WANTS_SLOT
                        break
                    if seen == NEW:
                        used += 1
                if seen == SAME:
                    verdict[event] = DUPLICATE
                    if counting:
                        counts[DUPLICATES] += 1
                elif seen == DIFFERENT:
                    verdict[event] = CONFLICTING_DUPLICATE
                    if counting:
                        reasons[CONFLICTING_DUPLICATE - REJECTED] += 1
                elif folding:
                    start = instant - instant % window
                    segment = 0
                    if max_timestamp != NONE and start + window <= min(max_timestamp, now) - lateness:
                        segment = 1 + bucket // LATE_BUCKETS
                    row_project = project[event] if rules[GROUP_BY_PROJECT] != 0 else 0
                    row_dimensions = dimension_rows[dimensions[event]]
                    hashed = hashes[event % (2 * AHEAD)]
                    if segment != 0:
                        hashed = row_hash(org[event], category[event], row_project, row_dimensions, start, segment)
                    at = find_row(
                        slots, keys, hashed, org[event], category[event], row_project, row_dimensions, start, segment
                    )
                    row = slots[at]
                    amount = quantity[event]
                    if row >= 0 and values[row, QUANTITY] > MAX_TOTAL - amount:
                        verdict[event] = OVERFLOW
                        if counting:
                            reasons[OVERFLOW - REJECTED] += 1
                    else:
                        if row < 0:
                            row = rows
                            rows += 1
                            slots[at] = row
                            keys[row, ORG] = org[event]
                            keys[row, CATEGORY] = category[event]
                            keys[row, PROJECT] = row_project
                            keys[row, DIMENSIONS] = row_dimensions
                            keys[row, WINDOW_START] = start
                            keys[row, SEGMENT] = segment
                            values[row, QUANTITY] = 0
                            values[row, ROW_EVENTS] = 0
                            values[row, MAX_QUANTITY] = 0
                            values[row, FIRST_OFFSET] = offset
                            values[row, FIRST_TIMESTAMP] = instant
                            values[row, LAST_TIMESTAMP] = instant
                        values[row, QUANTITY] += amount
                        values[row, ROW_EVENTS] += 1
                        values[row, MAX_QUANTITY] = max(values[row, MAX_QUANTITY], amount)
                        values[row, LAST_OFFSET] = offset
                        values[row, FIRST_TIMESTAMP] = min(values[row, FIRST_TIMESTAMP], instant)
                        values[row, LAST_TIMESTAMP] = max(values[row, LAST_TIMESTAMP], instant)
                        values[row, CHANGED] = 1
                        segment_at[event] = segment
                        if counting:
                            counts[ACCEPTED_EVENTS] += 1
                            if segment != 0:
                                counts[LATE_EVENTS] += 1
                            counts[QUANTITY_LOW] += amount & 0xFFFFFFFF
                            counts[QUANTITY_HIGH] += amount >> 32
            max_timestamp = max(max_timestamp, instant)
            if not broker_clock:
                clock = max(now, instant)
            event += 1
        if why != DONE:
            break
        state[IN_RECORD] = 0
        record += 1
    state[CLOCK] = clock
    state[MAX_TIMESTAMP] = max_timestamp
    state[BUCKET] = current_bucket
    state[INDEX_USED] = used
    state[ROWS_USED] = rows
    return why, record, event, turns_used
