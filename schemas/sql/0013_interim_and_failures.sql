-- What was billed before its period ended, because usage reached an amount that the contract names: numbered statements,
-- each of the usage known then, less what was billed before. The period's own statement takes all of them off.
--
-- ReplacingMergeTree(earliest): what such a statement said was said, so of two rows with one number the one stays that knew
-- less. A later rating looks before it writes, and never writes a number again; two at once write one row.
-- ORDER BY what a statement is about, as in `statements`, then its number; org_id first, as everywhere.
-- The columns are those of `statements`; billed is what each charge was billed in it, threshold the amount reached.
-- fsync_after_insert: a bill that was shown must be there after a power cut.
CREATE TABLE IF NOT EXISTS interim_statements
(
    org_id          UInt64,
    contract        String,
    period_start    DateTime('UTC'),
    period_end      DateTime('UTC') COMMENT 'exclusive',
    number          UInt32 COMMENT '1, 2, … of the contract and period',
    threshold       Decimal(38, 18) COMMENT 'the highest amount that usage had reached',
    currency        LowCardinality(String),
    total           Decimal(38, 18),
    billed          Map(String, Decimal(38, 18)) COMMENT 'what each charge was billed; sums to total',
    lines           Nested
    (
        line_no     UInt32,
        category    String,
        description String,
        quantity    Decimal(38, 18),
        amount      Decimal(38, 18),
        detail      String
    ),
    book_hash       String,
    contract_hash   String,
    snapshot_id     String COMMENT 'names the usage rows that were read',
    progress_vector String COMMENT 'JSON: next_offset per partition, read before the usage',
    complete_to     Nullable(DateTime64(6, 'UTC')),
    version         UInt128 COMMENT 'as in statements: the price book revision, then how much was read',
    earliest        UInt128 COMMENT '2^128 - 1 - version: the greatest of these stays',
    rated_at        DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(earliest)
ORDER BY (org_id, contract, period_start, period_end, number)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- The lines of interim statements, one row each, as `charges` has those of statements. Never sum both: a period's truth is
-- its own statement without the lines of kind already_invoiced, which take off what is in here.
CREATE VIEW IF NOT EXISTS interim_charges AS
SELECT
    s.org_id AS org_id,
    s.contract AS contract,
    s.period_start AS period_start,
    s.period_end AS period_end,
    s.number AS number,
    s.currency AS currency,
    line.1 AS line_no,
    line.2 AS category,
    line.3 AS description,
    line.4 AS quantity,
    line.5 AS amount,
    line.6 AS detail,
    s.snapshot_id AS snapshot_id,
    s.version AS version
FROM
(
    SELECT
        *,
        arrayZip(`lines.line_no`, `lines.category`, `lines.description`, `lines.quantity`, `lines.amount`, `lines.detail`)
            AS zipped
    FROM interim_statements FINAL
) AS s
ARRAY JOIN s.zipped AS line;

-- What could not be rated, and why: a period of an organisation whose last rating failed. The statement of an earlier
-- rating, where there is one, stays as it was.
--
-- ReplacingMergeTree(version): the version that the statement would have had, so that a rating which knew less never
-- hides what one that knew more found. One row a period with all its reasons in it, so that a reason which is no longer
-- there cannot survive; a rating that succeeds empties it. ORDER BY what was rated; org_id first, as everywhere.
-- A failure that stays the same is not written again: rated_at says since when it is so.
CREATE TABLE IF NOT EXISTS rating_failures
(
    org_id       UInt64,
    period_start DateTime('UTC'),
    period_end   DateTime('UTC') COMMENT 'exclusive',
    failures     Nested
    (
        reason   String,
        category String,
        detail   String
    ),
    version      UInt128,
    rated_at     DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (org_id, period_start, period_end)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What is not rated now, one row a reason. A statement of the same organisation and time is of an earlier rating.
--   SELECT reason, category, uniqExact(org_id) AS organisations FROM unrated GROUP BY ALL ORDER BY organisations DESC
CREATE VIEW IF NOT EXISTS unrated AS
SELECT
    f.org_id AS org_id,
    f.period_start AS period_start,
    f.period_end AS period_end,
    failure.1 AS reason,
    failure.2 AS category,
    failure.3 AS detail,
    f.version AS version,
    f.rated_at AS since
FROM
(
    SELECT *, arrayZip(`failures.reason`, `failures.category`, `failures.detail`) AS zipped
    FROM rating_failures FINAL
) AS f
ARRAY JOIN f.zipped AS failure;
