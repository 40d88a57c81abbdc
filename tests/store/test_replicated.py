"""The tables' form on a cluster.

No cluster runs here: what is checked is the SQL, by its rules and by the engine's parser.
"""

import re
from collections.abc import Iterator

import pytest

from schemas.errors import SettingsError
from sinks import migrations
from sinks.replicated import on_cluster, sharding_key
from sinks.store import Store, open_store
from sinks.url import ServerUrl, parse_url

STATEMENTS = [
    pytest.param(statement, id=f"{migration.name.split('.')[0]}-{number}")
    for migration in migrations.known()
    for number, statement in enumerate(migration.statements)
]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(f"chdb:{tmp_path_factory.mktemp('parser') / 'store'}") as made:
        yield made


def code(statement: str) -> str:
    return "\n".join(line for line in statement.splitlines() if not line.lstrip().startswith("--")).strip()


def test_a_table_becomes_a_replicated_one_and_a_distributed_one_over_it() -> None:
    local, distributed = on_cluster(
        "-- Why.\nCREATE TABLE IF NOT EXISTS counts\n(\n    org_id UInt64,\n    n UInt64\n)\n"
        "ENGINE = ReplacingMergeTree(n)\nORDER BY (org_id, n)\nSETTINGS fsync_after_insert = 1",
        "prod",
    )
    assert code(local) == (
        "CREATE TABLE IF NOT EXISTS counts_local ON CLUSTER `prod`\n(\n    org_id UInt64,\n    n UInt64\n)\n"
        "ENGINE = ReplicatedReplacingMergeTree(n)\nORDER BY (org_id, n)\nSETTINGS fsync_after_insert = 1"
    )
    assert distributed == (
        "CREATE TABLE IF NOT EXISTS counts ON CLUSTER `prod` AS counts_local\n"
        "ENGINE = Distributed('prod', currentDatabase(), 'counts_local', sipHash64(org_id))"
    )


def test_a_view_is_the_same_view() -> None:
    assert on_cluster("CREATE VIEW IF NOT EXISTS usage AS\nSELECT 1", "prod") == [
        "CREATE VIEW IF NOT EXISTS usage ON CLUSTER `prod` AS\nSELECT 1"
    ]
    assert on_cluster("CREATE OR REPLACE VIEW usage AS\nSELECT 1", "prod") == [
        "CREATE OR REPLACE VIEW usage ON CLUSTER `prod` AS\nSELECT 1"
    ]


@pytest.mark.parametrize(
    ("condition", "on_shards"),
    [
        ("(a, b) NOT IN (SELECT a, b FROM hidden)", "(a, b) GLOBAL NOT IN (SELECT a, b FROM hidden)"),
        ("a IN (SELECT a FROM t)", "a GLOBAL IN (SELECT a FROM t)"),
        ("a IN\n    (SELECT a FROM t)", "a GLOBAL IN\n    (SELECT a FROM t)"),
        ("a GLOBAL NOT IN (SELECT a FROM t)", "a GLOBAL NOT IN (SELECT a FROM t)"),
        ("a GLOBAL IN (SELECT a FROM t)", "a GLOBAL IN (SELECT a FROM t)"),
        ("a IN (1, 2)", "a IN (1, 2)"),
        ("JOIN (SELECT a FROM t)", "JOIN (SELECT a FROM t)"),
    ],
)
def test_a_subquery_in_a_view_is_asked_once_and_not_by_every_shard(condition: str, on_shards: str) -> None:
    (form,) = on_cluster(f"CREATE VIEW IF NOT EXISTS v AS\nSELECT 1 WHERE {condition}", "prod")
    assert form == f"CREATE VIEW IF NOT EXISTS v ON CLUSTER `prod` AS\nSELECT 1 WHERE {on_shards}"


def test_no_view_leaves_a_subquery_to_the_shards() -> None:
    views = [form for one in STATEMENTS for form in on_cluster(str(one.values[0]), "prod") if "VIEW" in form]
    subqueries = [found for view in views for found in re.findall(r"\S+ (?:NOT )?IN\s*\(\s*SELECT", code(view))]
    assert len(subqueries) >= 5
    assert [found for found in subqueries if not found.startswith("GLOBAL")] == []


@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_migration_has_a_form_that_the_engine_can_read(statement: str, opened: Store) -> None:
    for form in on_cluster(statement, "prod"):
        assert form.count("ON CLUSTER") == 1
        assert opened.query(f"EXPLAIN AST {code(form)}")


@pytest.mark.parametrize("statement", [one for one in STATEMENTS if "CREATE TABLE" in str(one.values[0])])
def test_rows_that_replace_each_other_are_on_one_shard(statement: str) -> None:
    order = re.search(r"^ORDER BY \(?([^)\n]+)", statement, re.MULTILINE)
    assert order is not None
    columns = {column.strip() for column in order[1].split(",")}
    asked = re.fullmatch(r"sipHash64\(([\w, ]+)\)", sharding_key(statement))
    assert asked is not None
    assert {column.strip() for column in asked[1].split(",")} <= columns
    if "org_id" in columns:
        assert asked[1] == "org_id"


@pytest.mark.parametrize("statement", ["ALTER TABLE x ADD COLUMN y UInt8", "DROP VIEW usage"])
def test_a_statement_without_a_rule_is_refused(statement: str) -> None:
    with pytest.raises(ValueError, match="no rule"):
        on_cluster(statement, "prod")


def test_the_url_names_the_cluster_and_shows_it() -> None:
    url = parse_url("clickhouse://tally:secret@ch:8123/tally?cluster=prod")
    assert isinstance(url, ServerUrl)
    assert url.cluster == "prod"
    assert str(url) == "clickhouse://tally@ch:8123/tally?cluster=prod"
    assert parse_url(str(url)) == parse_url("clickhouse://tally@ch:8123/tally?cluster=prod")


@pytest.mark.parametrize("after", ["?cluster=", "?cluster=a b", "?user=x", "?cluster=a&b=c", "?cluster=a#b"])
def test_anything_else_after_the_database_is_refused(after: str) -> None:
    with pytest.raises(SettingsError, match=r"\?cluster=NAME"):
        parse_url(f"clickhouse://ch/tally{after}")
