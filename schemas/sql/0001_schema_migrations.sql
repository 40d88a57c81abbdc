-- Which migrations this store has had, and with which content.
--
-- ReplacingMergeTree: two processes that migrate at once both record a migration; the copies are one row.
-- ORDER BY name: the number comes first in a name, so the order is the order of application.
CREATE TABLE IF NOT EXISTS schema_migrations
(
    name       String,
    checksum   String COMMENT 'sha256 of the file: an edited migration is noticed',
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY name;
