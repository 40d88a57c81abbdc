-- What a billing period left of an organisation's account: balances of grants, what was used of tiers that go on, levels.
-- The next period's rating takes it as an argument; a contract that remembers nothing has no rows.
--
-- ReplacingMergeTree(version): the version of the statement that left it, so that a rating which knew less never
-- replaces one which knew more. ORDER BY what an account is of; period_end is the instant from which it holds.
-- account is JSON as text: it is read back whole, and never searched. Its amounts are decimals as text.
-- fsync_after_insert: an account that a power cut takes back would give a grant a second time.
CREATE TABLE IF NOT EXISTS accounts
(
    org_id     UInt64,
    contract   String,
    period_end DateTime('UTC') COMMENT 'exclusive: the next period begins here',
    account    String,
    version    UInt128
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (org_id, contract, period_end)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
