-- Users of a ClickHouse server or cluster, by what they may do. Run it as an administrator after `tally migrate`, with the
-- passwords of your own: `clickhouse-client --param_writer_password=… --multiquery < access.sql`. On a cluster, put
-- `ON CLUSTER name` after each name, or keep access in a replicated access storage.
--
-- Nobody but the administrator changes or deletes what is counted: rows are replaced by inserts, never altered.

CREATE ROLE IF NOT EXISTS tally_writer;
CREATE ROLE IF NOT EXISTS tally_rater;
CREATE ROLE IF NOT EXISTS tally_analyst;

-- The dataflow: writes usage, reads how far it got. No DDL: `tally migrate` runs as an administrator.
GRANT SELECT, INSERT ON tally.usage_windows TO tally_writer;
GRANT SELECT, INSERT ON tally.progress TO tally_writer;
GRANT SELECT, INSERT ON tally.dead_letters TO tally_writer;
GRANT SELECT, INSERT ON tally.kept_events TO tally_writer;
GRANT SELECT ON tally.* TO tally_writer;
-- `tally remeter`: candidates, what they are about, and the row that switches.
GRANT INSERT ON tally.remeter_parts TO tally_writer;
GRANT INSERT ON tally.remeter_decisions TO tally_writer;
GRANT INSERT ON tally.remetered_letters TO tally_writer;
-- `tally controls`, `tally source`, `tally deadletters replay`.
GRANT INSERT ON tally.control_totals TO tally_writer;
GRANT INSERT ON tally.control_instances TO tally_writer;
GRANT INSERT ON tally.control_reads TO tally_writer;
GRANT INSERT ON tally.control_dead_letters TO tally_writer;
GRANT INSERT ON tally.retired_topics TO tally_writer;
GRANT INSERT ON tally.replays TO tally_writer;

-- The rater: reads usage, writes statements, what goes with them, and what reconciliation found.
GRANT SELECT ON tally.* TO tally_rater;
GRANT INSERT ON tally.statements TO tally_rater;
GRANT INSERT ON tally.interim_statements TO tally_rater;
GRANT INSERT ON tally.accounts TO tally_rater;
GRANT INSERT ON tally.rating_failures TO tally_rater;
GRANT INSERT ON tally.reconciliations TO tally_rater;

-- Analysts: read, with a limit on what one question may cost, so that none of them slows the writers down.
GRANT SELECT ON tally.* TO tally_analyst;
CREATE SETTINGS PROFILE IF NOT EXISTS tally_analyst SETTINGS
    readonly = 2,
    max_execution_time = 60,
    max_memory_usage = 8000000000,
    max_rows_to_read = 20000000000,
    max_threads = 4,
    priority = 10
    TO tally_analyst;
CREATE QUOTA IF NOT EXISTS tally_analyst FOR INTERVAL 1 HOUR MAX queries = 1000, execution_time = 1800 TO tally_analyst;

CREATE USER IF NOT EXISTS tally_writer IDENTIFIED WITH sha256_password BY {writer_password:String} DEFAULT ROLE tally_writer;
CREATE USER IF NOT EXISTS tally_rater IDENTIFIED WITH sha256_password BY {rater_password:String} DEFAULT ROLE tally_rater;
CREATE USER IF NOT EXISTS tally_analyst IDENTIFIED WITH sha256_password BY {analyst_password:String} DEFAULT ROLE tally_analyst;

-- Optional: an analyst of one organisation, who sees its rows and no others. Views read as the one who asks, so a policy
-- on the tables holds in them too. dead_letters have no organisation (many have none that could be read): no grant.
-- The first policy on a table hides all its rows from everybody it does not name: hence the second, without which a
-- rating would find no usage.
-- CREATE ROW POLICY IF NOT EXISTS org_42 ON tally.usage_windows, tally.kept_events, tally.statements,
--     tally.interim_statements, tally.accounts, tally.rating_failures USING org_id = 42 TO analyst_42;
-- CREATE ROW POLICY IF NOT EXISTS all_rows ON tally.usage_windows, tally.kept_events, tally.statements,
--     tally.interim_statements, tally.accounts, tally.rating_failures USING 1 TO ALL EXCEPT analyst_42;
