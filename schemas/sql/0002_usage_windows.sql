-- What the meter writes: one row per thing counted and place it came from, holding the total so far.
--
-- ReplacingMergeTree(last_offset): a row is a total, never an increment, so the row that has folded more of the log
-- replaces the one that has folded less, and a row written twice is one row. A version must be unsigned, so offsets are.
--
-- ORDER BY is the whole row key: what is not in it would be merged away. org_id comes first because every bill and
-- nearly every question is about one organisation; window_start comes before the rest because they also name a time.
-- PRIMARY KEY is a prefix, so that the index in memory does not hold dimensions and partition names.
--
-- PARTITION BY month of window_start, a key column: rows of one key are always in one partition, so FINAL may treat
-- partitions apart, a period's read opens its months only, and an old month can be dropped or moved whole.
--
-- window_start is DateTime (UInt32 seconds, up to 2106): windows start on whole seconds of the years 2000 to 2099;
-- a year out of range would be clamped without a word, which is why the store checks it before it inserts.
-- Quantities are Int64 in a row (the meter refuses what would not fit) and are summed as Int128 (the views).
--
-- fsync_after_insert: progress may only say "written" of what a power cut cannot take back.
-- by_last_offset lets "is there a row past this offset" skip most of the table.
CREATE TABLE IF NOT EXISTS usage_windows
(
    org_id          UInt64,
    category        LowCardinality(String),
    window_start    DateTime('UTC') CODEC(Delta, ZSTD(1)),
    project_id      UInt64,
    dimensions      String COMMENT 'canonical JSON of the grouped attributes, empty without any' CODEC(ZSTD(1)),
    topic           LowCardinality(String),
    partition       String CODEC(ZSTD(1)),
    generation      UInt32,
    segment         UInt64 COMMENT '0 on time, 1 + clock bucket / 10 late',
    quantity        Int64,
    events          Int64,
    max_quantity    Int64,
    first_offset    UInt64,
    last_offset     UInt64,
    first_timestamp DateTime64(6, 'UTC'),
    last_timestamp  DateTime64(6, 'UTC'),
    INDEX by_last_offset last_offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(last_offset)
PARTITION BY toYYYYMM(window_start)
PRIMARY KEY (org_id, category, window_start)
ORDER BY (org_id, category, window_start, project_id, dimensions, topic, partition, generation, segment)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
