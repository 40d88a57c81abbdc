-- Accepted events of categories whose catalogue entry says `keep`, one row each: what totals cannot answer (which
-- values there were, which came last, what money each carried).
--
-- ReplacingMergeTree without a version: a row is a pure function of its position in the log, so a second copy, of a
-- replay or of a worker that was thought dead, is the same row.
--
-- ORDER BY is the position, behind what a bill reads by: one organisation's events of one category in event-time order,
-- then as they stand in the log. An event's org_id, category and timestamp never change, so that copies share a key.
--
-- PARTITION BY month of timestamp, a key column, as usage_windows is by its window: FINAL may treat months apart.
--
-- amount is NULL where the category declares none: an event that should carry one and does not is rejected.
-- fsync_after_insert as for usage_windows: progress covers kept events too.
-- by_offset lets "is there an event past this offset" skip most of the table.
CREATE TABLE IF NOT EXISTS kept_events
(
    org_id      UInt64,
    category    LowCardinality(String),
    timestamp   DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    topic       LowCardinality(String),
    partition   String CODEC(ZSTD(1)),
    generation  UInt32,
    offset      UInt64,
    `index`     UInt32 COMMENT 'place of the event within its record',
    project_id  UInt64,
    dimensions  String COMMENT 'canonical JSON of the grouped attributes, empty without any' CODEC(ZSTD(1)),
    quantity    Int64,
    value       String COMMENT 'canonical JSON of the attribute that is kept, empty without it' CODEC(ZSTD(1)),
    amount      Nullable(Decimal(38, 18)) COMMENT 'the money that the event carries',
    INDEX by_offset offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(timestamp)
PRIMARY KEY (org_id, category, timestamp)
ORDER BY (org_id, category, timestamp, topic, partition, generation, offset, index)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Kept events for analysts, right at every moment, also before merges: FINAL comes first, inside; and those that count
-- (0010), by key columns.
--   SELECT uniqExactIf(value, value != '') FROM kept_events_current
--   WHERE org_id = 42 AND category = 'seer_user' AND timestamp >= '2026-11-01' AND timestamp < '2026-12-01'
CREATE VIEW IF NOT EXISTS kept_events_current AS
SELECT
    k.org_id AS org_id,
    k.category AS category,
    k.timestamp AS timestamp,
    k.topic AS topic,
    k.partition AS partition,
    k.generation AS generation,
    k.offset AS offset,
    k.`index` AS `index`,
    k.project_id AS project_id,
    k.dimensions AS dimensions,
    k.quantity AS quantity,
    k.value AS value,
    k.amount AS amount
FROM kept_events AS k FINAL
WHERE (k.topic, k.partition, k.generation) NOT IN (SELECT topic, partition, generation FROM hidden_generations);
