-- Rejected events, with the reason and their own bytes, so that none disappears and each can be replayed.
--
-- ReplacingMergeTree ordered by position: a letter is a pure function of the log, so a second copy is the same letter.
-- raw is a String because a ClickHouse String is bytes; ZSTD(3) since letters are read seldom and repeat each other.
-- fsync_after_insert as for usage_windows: progress covers dead letters too.
CREATE TABLE IF NOT EXISTS dead_letters
(
    topic      LowCardinality(String),
    partition  String,
    offset     UInt64,
    `index`    UInt32 COMMENT 'place of the event within its record',
    reason     LowCardinality(String),
    detail     String,
    format     LowCardinality(String),
    generation UInt32,
    clock      Nullable(DateTime64(6, 'UTC')) COMMENT 'the clock of the log at the event, not of the wall',
    raw        String COMMENT 'the bytes of the event, at most 1 MiB' CODEC(ZSTD(3)),
    raw_size   UInt64 COMMENT 'bytes before the cut'
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, partition, offset, index)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What became of a dead letter that was replayed: one row per original position, with when and by whom.
--
-- ReplacingMergeTree ordered by the original position: replaying a letter twice is one replay. The wall clock is
-- allowed here, since this is a record of what a person did and not of what the log says.
CREATE TABLE IF NOT EXISTS replays
(
    topic       LowCardinality(String),
    partition   String,
    offset      UInt64,
    `index`     UInt32,
    org_id      UInt64,
    event_id    String COMMENT 'empty: the event has none and is identified by its position',
    outcome     LowCardinality(String) COMMENT 'what became of it: counted, duplicate, …',
    detail      String,
    fingerprint String COMMENT 'names the metering settings under which it was decoded again',
    replayed_at DateTime64(6, 'UTC'),
    replayed_by String
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, partition, offset, index)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
