-- The commit point: how far a partition's log has been metered, written after the usage rows that it covers.
--
-- ReplacingMergeTree(next_offset): a worker that was thought dead and still writes cannot take progress back. At the
-- same next_offset the row written last counts, so that a heartbeat renews the sight of the log's end.
-- ORDER BY topic, partition, generation: a generation keeps its last row for ever (its counts, where it ended).
--
-- Instants are microseconds; NULL stands for "no event yet". quantity is Int128: it sums over every category and the
-- log's whole life. Counts by reason are maps, since the catalogue of reasons grows with the formats. source is JSON
-- as text: it is compared and shown, never searched.
--
-- fsync_after_insert: a power cut that took back the start of a generation, and left its usage rows, would let the
-- generation before it go on and count the same events.
CREATE TABLE IF NOT EXISTS progress
(
    topic              LowCardinality(String),
    partition          String,
    generation         UInt32,
    fingerprint        String COMMENT 'names the metering settings of this generation',
    start_offset       UInt64,
    next_offset        UInt64,
    warm_offset        UInt64,
    warm_clock         Nullable(DateTime64(6, 'UTC')),
    warm_max_timestamp Nullable(DateTime64(6, 'UTC')),
    count_from         UInt64,
    clock              Nullable(DateTime64(6, 'UTC')),
    max_timestamp      Nullable(DateTime64(6, 'UTC')),
    watermark          Nullable(DateTime64(6, 'UTC')),
    allowed_lateness   Int64 COMMENT 'microseconds',
    log_end            Nullable(UInt64),
    log_end_seen_at    Nullable(DateTime64(6, 'UTC')),
    finite             Bool,
    partitions         UInt32 COMMENT 'how many partitions the source listed',
    source             String,
    records            UInt64,
    events             UInt64,
    accepted           UInt64,
    late               UInt64,
    duplicates         UInt64,
    not_billable       Map(LowCardinality(String), UInt64),
    rejected           Map(LowCardinality(String), UInt64),
    quantity           Int128 COMMENT 'sum of the accepted quantities: a checksum, not a usage'
)
ENGINE = ReplacingMergeTree(next_offset)
ORDER BY (topic, partition, generation)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
