-- How complete usage is.

-- Topics of which nothing will come any more, by a person's word: a stream that was given up, a topic that was renamed.
--
-- ReplacingMergeTree(decided_at), microseconds: the last word counts. ORDER BY topic: one row a topic.
CREATE TABLE IF NOT EXISTS retired_topics
(
    topic      String,
    retired    Bool,
    decided_at UInt64 COMMENT 'microseconds UTC',
    decided_by String
)
ENGINE = ReplacingMergeTree(decided_at)
ORDER BY topic
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- One row per partition: its newest generation. complete_to is the instant before which nothing can change any more,
-- as far as this partition is concerned: the later of its watermark and, when its log is read to the end, the time at
-- which the end was seen less the allowed lateness; the end of time (2100) for a finite log read to its end, and
-- for a topic that was retired; NULL when nothing is known yet.
--   SELECT * FROM completeness ORDER BY complete_to LIMIT 1      -- which partition holds the answer back?
CREATE VIEW IF NOT EXISTS completeness AS
SELECT
    p.topic AS topic,
    p.partition AS partition,
    p.generation AS generation,
    p.next_offset AS next_offset,
    p.log_end AS log_end,
    p.log_end_seen_at AS log_end_seen_at,
    p.watermark AS watermark,
    p.partitions AS partitions,
    p.finite AND ifNull(p.next_offset >= p.log_end, false) AS finished,
    p.topic IN (SELECT r.topic FROM (SELECT * FROM retired_topics FINAL) AS r WHERE r.retired) AS retired,
    multiIf(
        retired OR p.finite AND ifNull(p.next_offset >= p.log_end, false),
        toDateTime64('2100-01-01 00:00:00', 6, 'UTC'),
        ifNull(p.next_offset >= p.log_end, false) AND isNotNull(p.log_end_seen_at),
        greatest(
            ifNull(p.watermark, toDateTime64('1970-01-01 00:00:00', 6, 'UTC')),
            assumeNotNull(p.log_end_seen_at) - toIntervalMicrosecond(p.allowed_lateness)
        ),
        p.watermark
    ) AS complete_to
FROM
(
    -- argMax over a whole row would need every column twice; LIMIT BY takes the newest generation's row as it is.
    SELECT * FROM progress FINAL ORDER BY generation DESC LIMIT 1 BY topic, partition
) AS p;

-- The one answer: usage is complete to here. NULL when it cannot be said: nothing was read yet, a topic has partitions
-- without progress, or a partition's own answer is not known. Read it before the usage that it is said of.
CREATE VIEW IF NOT EXISTS complete_to AS
SELECT
    if(
        count() = 0 OR max(t.missing) OR max(t.unknown),
        NULL,
        min(t.complete_to)
    ) AS complete_to
FROM
(
    SELECT
        c.topic AS topic,
        NOT max(c.retired) AND count() < max(c.partitions) AS missing,
        countIf(isNull(c.complete_to)) > 0 AS unknown,
        min(c.complete_to) AS complete_to
    FROM completeness AS c
    GROUP BY c.topic
) AS t;
