-- What the producers say that they sent: events and quantity per source, instance, category and minute of event time,
-- each row the total so far, counting only events whose delivery the broker has acknowledged.
--
-- ReplacingMergeTree(sequence): a producer instance numbers its reports, and the total of the newest one holds. A
-- report that is read twice changes nothing; a restarted producer is another instance, and instances add up.
--
-- ORDER BY is the whole key of a total; minute comes before source because totals are compared with arrivals over a
-- range of time, for all sources. PARTITION BY month of minute, a key column, for the reasons of usage_windows.
--
-- quantity is Int128: a sum of quantities without a bound. sent_at is the producer's clock when it reported, which
-- says how fresh a total is and is in no comparison.
-- fsync_after_insert: control_reads may only cover what a power cut cannot take back.
CREATE TABLE IF NOT EXISTS control_totals
(
    topic    LowCardinality(String) COMMENT 'the topic of the events, not that of the reports',
    category LowCardinality(String),
    minute   DateTime('UTC') CODEC(Delta, ZSTD(1)),
    source   LowCardinality(String) COMMENT 'the producer by name, as its events carry it',
    instance String COMMENT 'one life of that producer',
    sequence UInt64,
    events   UInt64,
    quantity Int128,
    sent_at  DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(sequence)
PARTITION BY toYYYYMM(minute)
ORDER BY (topic, minute, category, source, instance)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Each producer instance: everything that it had acknowledged so far, and whether it ended in good order. An instance
-- that is not closed may have sent events which its totals do not have yet; one that is closed has not.
--
-- ReplacingMergeTree(sequence), ORDER BY the instance: the newest report of each holds.
CREATE TABLE IF NOT EXISTS control_instances
(
    topic      LowCardinality(String),
    source     LowCardinality(String),
    instance   String,
    sequence   UInt64,
    started_at DateTime64(6, 'UTC'),
    sent_at    DateTime64(6, 'UTC'),
    closed     Bool,
    events     UInt64 COMMENT 'the sum over its rows of control_totals',
    quantity   Int128 COMMENT 'likewise: a checksum'
)
ENGINE = ReplacingMergeTree(sequence)
ORDER BY (topic, source, instance)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- How far the topics of reports have been read.
--
-- ReplacingMergeTree(next_offset), ORDER BY topic and partition with the topic's id: a topic that was deleted and
-- created again is another one, and is read from its start.
CREATE TABLE IF NOT EXISTS control_reads
(
    topic       LowCardinality(String) COMMENT 'the topic of the reports',
    topic_id    String,
    partition   String,
    next_offset UInt64
)
ENGINE = ReplacingMergeTree(next_offset)
ORDER BY (topic, topic_id, partition);

-- Records of those topics that are no reports, with the reason and their own bytes.
--
-- ReplacingMergeTree ordered by position: a second copy is the same letter. Apart from dead_letters, because those are
-- events that may be replayed into usage, and the counts of which progress answers for.
CREATE TABLE IF NOT EXISTS control_dead_letters
(
    topic     LowCardinality(String) COMMENT 'the topic of the reports',
    partition String,
    offset    UInt64,
    detail    String,
    raw       String COMMENT 'the bytes of the record, at most 1 MiB' CODEC(ZSTD(3)),
    raw_size  UInt64 COMMENT 'bytes before the cut'
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, partition, offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What was sent, by source and minute, over all instances; sum over source for what a topic was sent altogether.
--   SELECT category, minute, sum(events) FROM controls WHERE topic = 'usage' GROUP BY category, minute
CREATE VIEW IF NOT EXISTS controls AS
SELECT
    t.topic AS topic,
    t.category AS category,
    t.minute AS minute,
    t.source AS source,
    sum(toInt128(t.events)) AS events,
    sum(t.quantity) AS quantity,
    count() AS instances,
    max(t.sent_at) AS sent_at
FROM control_totals AS t FINAL
GROUP BY t.topic, t.category, t.minute, t.source;
