"""The tables' form on a ClickHouse cluster: replicated, sharded, and read under the same names. One copy of the SQL.

A migration's statement is rewritten where the store's URL names a cluster (`clickhouse://…/db?cluster=NAME`):

    table X  ─►  X_local ON CLUSTER, its engine as Replicated…, and X, a Distributed table over it
    view     ─►  the same view ON CLUSTER, which reads the Distributed tables, its IN (SELECT …) as GLOBAL IN

Rows of one key are replaced only within a shard, so the sharding key is a function of the sorting key: sipHash64 of
org_id where rows are an organisation's, else of topic and partition, else of the first column.
"""

import re
from typing import Any, Final

LOCAL: Final = "_local"

SETTINGS: Final[dict[str, Any]] = {
    # An insert has reached its shards, and there the quorum, when it is answered: progress may cover it then.
    "distributed_foreground_insert": 1,
    "insert_quorum": "auto",
    # One quorum insert at a time, without which sequential reads are not promised.
    "insert_quorum_parallel": 0,
    # A start must see the newest progress and the newest generation, on whichever replica it asks.
    "select_sequential_consistency": 1,
    # A subquery over a Distributed table is asked once, by the server that was asked, and not by every shard. Whether
    # this reaches one over a view is not known: a view's own subqueries say GLOBAL by themselves.
    "distributed_product_mode": "global",
    "distributed_ddl_output_mode": "throw",
}
"""What every query is asked with on a cluster."""

_TABLE: Final = re.compile(r"^CREATE TABLE IF NOT EXISTS (\w+)$", re.MULTILINE)
_VIEW: Final = re.compile(r"^CREATE (OR REPLACE )?VIEW (IF NOT EXISTS )?(\w+) AS$", re.MULTILINE)
_SUBQUERY: Final = re.compile(r"\b(?<!GLOBAL )(?<!GLOBAL NOT )(?<!NOT )(NOT )?IN(\s*)\(\s*SELECT\b")
"""The start of a condition on a subquery, `a IN (SELECT …` or `a NOT IN (SELECT …`; not `GLOBAL IN` already."""
_ENGINE: Final = re.compile(r"^ENGINE = (\w*MergeTree)", re.MULTILINE)
_ORDER: Final = re.compile(r"^ORDER BY (?:\((.+)\)|(\w+))$", re.MULTILINE)


def on_cluster(statement: str, cluster: str) -> list[str]:
    """Return what a migration's statement is on a cluster. Raises ValueError for one of another kind."""
    table = _TABLE.search(statement)
    if table:
        return _table(statement, table[1], cluster)
    view, views = _VIEW.subn(rf"CREATE \1VIEW \2\3 ON CLUSTER {quoted(cluster)} AS", statement)
    if views == 1:
        return [_SUBQUERY.sub(r"GLOBAL \1IN\2(SELECT", view)]
    raise ValueError(f"no rule for this statement on a cluster: {statement[:80]}")


def sharding_key(statement: str) -> str:
    """Return the expression that decides the shard of a table's row, a function of its sorting key alone."""
    order = _ORDER.search(statement)
    if order is None:
        raise ValueError("a table without ORDER BY cannot be sharded")
    columns = [column.strip() for column in (order[1] or order[2]).split(",")]
    if "org_id" in columns:
        return "sipHash64(org_id)"
    if {"topic", "partition"} <= set(columns):
        return "sipHash64(topic, partition)"
    return f"sipHash64({columns[0]})"


def quoted(name: str) -> str:
    """Return a name as SQL writes it, whatever is in it."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _table(statement: str, name: str, cluster: str) -> list[str]:
    on = f"ON CLUSTER {quoted(cluster)}"
    local = _TABLE.sub(f"CREATE TABLE IF NOT EXISTS {name}{LOCAL} {on}", statement)
    local, engines = _ENGINE.subn(r"ENGINE = Replicated\1", local)
    if engines != 1:
        raise ValueError(f"table {name}: exactly one MergeTree engine is needed, not {engines}")
    literal = cluster.replace("\\", "\\\\").replace("'", "\\'")
    distributed = (
        f"CREATE TABLE IF NOT EXISTS {name} {on} AS {name}{LOCAL}\n"
        f"ENGINE = Distributed('{literal}', currentDatabase(), '{name}{LOCAL}', {sharding_key(statement)})"
    )
    return [local, distributed]
