-- What an organisation owes for a period: one row with all its lines in it, so that a line which is no longer there
-- cannot survive in a row of its own.
--
-- ReplacingMergeTree(version): version = (price book revision, sum of next_offset read before the usage), so a rating
-- that knew more replaces one that knew less, and rating twice changes nothing. UInt128 holds both in one number.
-- ORDER BY is what a statement is about; org_id first, as everywhere.
--
-- Money is Decimal(38, 18): 18 digits of fraction hold any unit price, 20 digits before the point any total. ClickHouse
-- stores and shows these numbers and never multiplies or divides them. quantity is a decimal too: units may convert to
-- fractions (bytes to GB). detail is JSON as text: the tiers and prices that made the line.
-- fsync_after_insert: a bill that was shown must be there after a power cut.
CREATE TABLE IF NOT EXISTS statements
(
    org_id          UInt64,
    contract        String,
    period_start    DateTime('UTC'),
    period_end      DateTime('UTC') COMMENT 'exclusive',
    currency        LowCardinality(String),
    total           Decimal(38, 18),
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
    version         UInt128,
    rated_at        DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (org_id, contract, period_start, period_end)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Statement lines, one row each. FINAL comes first, inside; outside it every filter is safe.
CREATE VIEW IF NOT EXISTS charges AS
SELECT
    s.org_id AS org_id,
    s.contract AS contract,
    s.period_start AS period_start,
    s.period_end AS period_end,
    s.currency AS currency,
    line.1 AS line_no,
    line.2 AS category,
    line.3 AS description,
    line.4 AS quantity,
    line.5 AS amount,
    line.6 AS detail,
    s.snapshot_id AS snapshot_id,
    s.complete_to AS complete_to,
    s.version AS version
FROM
(
    SELECT
        *,
        arrayZip(`lines.line_no`, `lines.category`, `lines.description`, `lines.quantity`, `lines.amount`, `lines.detail`)
            AS zipped
    FROM statements FINAL
) AS s
ARRAY JOIN s.zipped AS line;
