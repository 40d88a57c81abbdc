-- Metering a range of a log again: a candidate generation that nobody sees, until one row switches over to it.
--
-- A candidate is a generation like any other: rows in usage_windows and progress, under a number of its own (2^31 or
-- more, which no run gives). What it stands for are whole generations, since a row holds a total over its generation.
-- Which generations count is told by the two tables here alone, so that one row of remeter_decisions changes it, for
-- all logs of a remeter, at one moment: everything reads through active_windows, active_progress and active_letters.

-- Which generations a remeter is about: its candidate, those that it replaces, and those that were hidden already.
--
-- ReplacingMergeTree(noted_at): what a generation is to a remeter is noted again at every step of it; the last word
-- counts. ORDER BY remeter first: the question is always about one, or about all. Written before the first row of the
-- candidate, so that the candidate is hidden from its first row on.
CREATE TABLE IF NOT EXISTS remeter_parts
(
    remeter    String,
    topic      LowCardinality(String),
    partition  String,
    generation UInt32,
    role       LowCardinality(String) COMMENT 'candidate, replaced, covered (by an earlier remeter that is replaced)',
    noted_at   UInt64 COMMENT 'microseconds UTC'
)
ENGINE = ReplacingMergeTree(noted_at)
ORDER BY (remeter, topic, partition, generation)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What was decided of each remeter, by whom and when. The newest row of a remeter counts: `active` puts its candidate
-- in the place of what it replaces, every other word does not. All rows stay, as the record of who decided what.
--
-- ReplacingMergeTree, ORDER BY remeter and time: the same decision written twice is one.
CREATE TABLE IF NOT EXISTS remeter_decisions
(
    remeter    String,
    decided_at UInt64 COMMENT 'microseconds UTC',
    decision   LowCardinality(String) COMMENT 'made, active, undone, dropped',
    decided_by String
)
ENGINE = ReplacingMergeTree
ORDER BY (remeter, decided_at)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Events that a candidate rejected. A table of its own, since dead_letters is keyed by position: a letter of a candidate
-- would stand there in the place of the active one, before the switch and after an undo.
--
-- ReplacingMergeTree for the reason of dead_letters; ORDER BY has the generation, so that candidates share no key.
CREATE TABLE IF NOT EXISTS remetered_letters
(
    topic      LowCardinality(String),
    partition  String,
    generation UInt32,
    offset     UInt64,
    `index`    UInt32,
    reason     LowCardinality(String),
    detail     String,
    format     LowCardinality(String),
    clock      Nullable(DateTime64(6, 'UTC')),
    raw        String CODEC(ZSTD(3)),
    raw_size   UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, partition, generation, offset, index)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- The generations that do not count: candidates that are not in force, and what those in force stand for. A view of this
-- shape, without joins, costs a reader the least.
--
-- The decisions are read once in here, and a query asks once for hidden generations: two looks in one query could see
-- two moments, and miss or double what changes between them.
--
-- A candidate that another remeter covers is hidden by its own remeter for as long as that is not in force. It must not be
-- hidden by the other one too, which is still in force when this one replaces it: nothing at all would count then.
-- FINAL: what a candidate is to another remeter changes from one switch to the next, and the last word alone counts.
CREATE VIEW IF NOT EXISTS hidden_generations AS
SELECT topic, partition, generation
FROM (SELECT * FROM remeter_parts FINAL)
WHERE NOT (role = 'covered' AND generation >= 2147483648) AND (role = 'candidate') != (remeter IN
    (SELECT remeter FROM remeter_decisions GROUP BY remeter HAVING argMax(decision, decided_at) = 'active'));

-- The usage rows that count. The filter names key columns only. Without a remeter the set is empty and costs nothing.
CREATE VIEW IF NOT EXISTS active_windows AS
SELECT *
FROM usage_windows FINAL
WHERE (topic, partition, generation) NOT IN (SELECT topic, partition, generation FROM hidden_generations);

-- The generations that count, with their place in the order of generations: a candidate has the place of the last one
-- that it replaces. The highest place of a partition is its current generation.
CREATE VIEW IF NOT EXISTS active_progress AS
SELECT
    *,
    if(generation < 2147483648, toUInt64(generation), JSONExtractUInt(source, 'remeter', 'last')) AS place
FROM progress FINAL
WHERE (topic, partition, generation) NOT IN (SELECT topic, partition, generation FROM hidden_generations);

-- The dead letters that count. Which generation has judged an event is asked after FINAL, being no key of dead_letters.
CREATE VIEW IF NOT EXISTS active_letters AS
SELECT l.*
FROM
(
    SELECT topic, partition, offset, `index`, reason, detail, format, generation, clock, raw, raw_size
    FROM dead_letters FINAL
    UNION ALL
    SELECT topic, partition, offset, `index`, reason, detail, format, generation, clock, raw, raw_size
    FROM remetered_letters FINAL
) AS l
WHERE (l.topic, l.partition, l.generation) NOT IN
    (SELECT topic, partition, generation FROM hidden_generations);

-- The views on usage and completeness as they were (0006, 0007), over what counts. OR REPLACE puts the new view in the
-- place of the old one at once: a reader meanwhile has the one or the other.
CREATE OR REPLACE VIEW usage AS
SELECT
    w.org_id AS org_id,
    w.category AS category,
    w.project_id AS project_id,
    w.dimensions AS dimensions,
    w.window_start AS window_start,
    sum(toInt128(w.quantity)) AS quantity,
    sum(toInt128(w.events)) AS events,
    max(w.max_quantity) AS max_quantity,
    sum(if(w.segment = 0, toInt128(0), toInt128(w.events))) AS late_events
FROM active_windows AS w
GROUP BY w.org_id, w.category, w.project_id, w.dimensions, w.window_start;

CREATE OR REPLACE VIEW usage_hourly AS
SELECT
    w.org_id AS org_id,
    w.category AS category,
    w.project_id AS project_id,
    w.dimensions AS dimensions,
    toStartOfHour(w.window_start) AS hour,
    sum(toInt128(w.quantity)) AS quantity,
    sum(toInt128(w.events)) AS events,
    max(w.max_quantity) AS max_quantity,
    sum(if(w.segment = 0, toInt128(0), toInt128(w.events))) AS late_events
FROM active_windows AS w
GROUP BY w.org_id, w.category, w.project_id, w.dimensions, hour;

CREATE OR REPLACE VIEW usage_daily AS
SELECT
    w.org_id AS org_id,
    w.category AS category,
    w.project_id AS project_id,
    w.dimensions AS dimensions,
    toDate(w.window_start, 'UTC') AS day,
    sum(toInt128(w.quantity)) AS quantity,
    sum(toInt128(w.events)) AS events,
    max(w.max_quantity) AS max_quantity,
    sum(if(w.segment = 0, toInt128(0), toInt128(w.events))) AS late_events
FROM active_windows AS w
GROUP BY w.org_id, w.category, w.project_id, w.dimensions, day;

CREATE OR REPLACE VIEW completeness AS
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
    -- argMax over a whole row would need every column twice; LIMIT BY takes the current generation's row as it is.
    SELECT * FROM active_progress ORDER BY place DESC LIMIT 1 BY topic, partition
) AS p;

-- What a remeter would change, or has changed: usage by window, of what it replaces and of its candidate.
--   SELECT org_id, category, toDate(window_start) AS day, sum(quantity_before), sum(quantity_after), sum(difference)
--   FROM remeter_changes WHERE remeter = '5f3a09c1' GROUP BY ALL HAVING sum(difference) != 0 ORDER BY ALL
CREATE VIEW IF NOT EXISTS remeter_changes AS
SELECT
    p.remeter AS remeter,
    w.org_id AS org_id,
    w.category AS category,
    w.project_id AS project_id,
    w.dimensions AS dimensions,
    w.window_start AS window_start,
    sum(if(p.role = 'replaced', toInt128(w.quantity), toInt128(0))) AS quantity_before,
    sum(if(p.role = 'candidate', toInt128(w.quantity), toInt128(0))) AS quantity_after,
    quantity_after - quantity_before AS difference,
    sum(if(p.role = 'replaced', toInt128(w.events), toInt128(0))) AS events_before,
    sum(if(p.role = 'candidate', toInt128(w.events), toInt128(0))) AS events_after
FROM
(
    SELECT * FROM usage_windows FINAL
    WHERE (topic, partition, generation) IN (SELECT topic, partition, generation FROM remeter_parts)
) AS w
INNER JOIN (SELECT * FROM (SELECT * FROM remeter_parts FINAL) WHERE role != 'covered') AS p
    ON w.topic = p.topic AND w.partition = p.partition AND w.generation = p.generation
GROUP BY p.remeter, w.org_id, w.category, w.project_id, w.dimensions, w.window_start;
