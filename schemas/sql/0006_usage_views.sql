-- Usage for analysts, right at every moment, also before merges.
--
-- Every view dedupes first (FINAL) and groups after, so that a filter which reaches the table names key columns only:
-- a filter on another column would be asked of rows that a newer row replaces, and could bring an old total back.
-- Sums are Int128: Int64 sums wrap without a word.

-- One row per window and thing counted, over all partitions, generations and segments.
--   SELECT * FROM usage WHERE org_id = 42 AND window_start >= '2026-11-01' AND window_start < '2026-12-01'
CREATE VIEW IF NOT EXISTS usage AS
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
FROM usage_windows AS w FINAL
GROUP BY w.org_id, w.category, w.project_id, w.dimensions, w.window_start;

-- The same by hour (UTC).
--   SELECT hour, sum(quantity) FROM usage_hourly WHERE org_id = 42 AND category = 'error' GROUP BY hour ORDER BY hour
CREATE VIEW IF NOT EXISTS usage_hourly AS
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
FROM usage_windows AS w FINAL
GROUP BY w.org_id, w.category, w.project_id, w.dimensions, hour;

-- The same by day (UTC).
--   SELECT org_id, sum(quantity) FROM usage_daily WHERE day = '2026-11-22' GROUP BY org_id ORDER BY 2 DESC LIMIT 10
CREATE VIEW IF NOT EXISTS usage_daily AS
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
FROM usage_windows AS w FINAL
GROUP BY w.org_id, w.category, w.project_id, w.dimensions, day;
