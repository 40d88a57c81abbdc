-- What every reconciliation found: a row per law with the sums of both sides, and a row per place that was not the same.
--
-- ReplacingMergeTree ordered by run, law and place: writing the result of a run twice changes nothing. A run is named by
-- what it found and when, and `at` comes first because the question is nearly always about the last runs.
-- A clean run is kept too: that nothing differed, and when that was seen, is a result.
--
-- The sides are Decimal(76, 18): Int128 sums of counts and quantities fit, and amounts keep all their digits.
--   SELECT * FROM reconciliations FINAL WHERE standing = 'difference' AND place != '' ORDER BY at DESC LIMIT 100
CREATE TABLE IF NOT EXISTS reconciliations
(
    at         DateTime64(6, 'UTC') COMMENT 'when the run was made',
    run_id     String,
    law        LowCardinality(String),
    place      String COMMENT 'JSON of what names the place; empty in the row of the law as a whole',
    standing   LowCardinality(String) COMMENT 'holds, difference, in_flight, stale, not_checked',
    places     UInt64 COMMENT 'how many places were compared (in the row of the law as a whole)',
    left_side  Nullable(Decimal(76, 18)),
    right_side Nullable(Decimal(76, 18)),
    note       String,
    asked      String COMMENT 'JSON of the bounds that were asked for'
)
ENGINE = ReplacingMergeTree
ORDER BY (at, run_id, law, place, standing);
