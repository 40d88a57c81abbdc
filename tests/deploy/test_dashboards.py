"""The dashboards: current, laid out without overlap, of metrics that there are and of SQL that the engine runs."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.dashboards.__main__ import DASHBOARDS, text
from deploy.dashboards.panels import WIDTH, Dashboard, Panel
from sinks.store import Store, open_store
from tally.telemetry.names import ABOUT, METRICS, prometheus_name
from tests.deploy.files import DEPLOY, read, tool

MADE: Final = {path.stem: dashboard for path, dashboard in DASHBOARDS.items()}
NAMES: Final = {prometheus_name(name): ABOUT[name].kind for name in METRICS}
LARGEST: Final = 10**20 - 1
"""The largest total that a statement holds: two of them are more than a sum of its own type would."""
METRIC: Final = re.compile(r"\b(?:topic:)?tally_[a-z_]+")


def known(expression: str) -> bool:
    """Say whether every metric of an expression is given out by Tally, a histogram by its parts."""
    series = {name for name, kind in NAMES.items() if kind != "histogram"}
    series |= {
        f"{name}_{part}" for name, kind in NAMES.items() if kind == "histogram" for part in ("bucket", "sum", "count")
    }
    found = set(METRIC.findall(expression))
    return bool(found) and found <= series


def asked(*, sql: bool) -> list[str]:
    queries = [ask for one in MADE.values() for panel in one.panels() if panel.sql == sql for ask, _ in panel.asks]
    return queries + [choice.ask for one in MADE.values() for choice in one.choices if choice.sql == sql]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_the_file_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == text(DASHBOARDS[path]), "run `python -m deploy.dashboards`"


def _cells(panel: dict[str, Any]) -> Iterator[tuple[int, int]]:
    place = panel["gridPos"]
    assert place["x"] + place["w"] <= WIDTH
    yield from (
        (x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])
    )


@pytest.mark.parametrize("name", MADE)
def test_panels_have_numbers_places_and_words_of_their_own(name: str) -> None:
    panels = MADE[name].json()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [cell for panel in panels for cell in _cells(panel)]
    assert len(cells) == len(set(cells)), "two panels overlap"
    shown = [panel for panel in panels if panel["type"] != "row"]
    assert len({panel["title"] for panel in shown}) == len(shown)
    assert all(panel["description"].endswith((".", "?")) and panel["targets"] for panel in shown)


def test_uids_are_apart_and_data_sources_are_provided() -> None:
    assert len({one.uid for one in MADE.values()}) == len(MADE)
    provided = {
        (one["type"], one["uid"]) for one in read(DEPLOY / "compose" / "grafana-datasources.yaml")["datasources"]
    }
    for dashboard in MADE.values():
        text_of_it = json.dumps(dashboard.json())
        used = set(re.findall(r'"datasource": \{"type": "([^"]+)", "uid": "([^"]+)"\}', text_of_it))
        assert used
        assert used <= provided


def test_every_metric_is_in_tallys_list_and_every_one_of_the_flow_is_shown() -> None:
    expressions = [ask for ask in asked(sql=False) if not ask.startswith("label_values(")]
    assert len(expressions) > 30
    assert [ask for ask in expressions if not known(ask)] == []
    assert all(known(ask) for ask in asked(sql=False))
    together = " ".join(expressions)
    assert [name for name in NAMES if not re.search(rf"\b{name}(_bucket)?\b", together)] == []


@pytest.mark.parametrize("wrong", ["tally_lags", "sum(tally_lag)", "tally_flush_rows", "up == 1", "tally_events"])
def test_a_metric_that_is_not_there_is_found(wrong: str) -> None:
    assert not known(wrong)


def test_prometheus_parses_every_expression(tmp_path: Path) -> None:
    promtool = tool("promtool", "prometheus")
    expressions = [
        ask.replace("$__rate_interval", "5m") for ask in asked(sql=False) if not ask.startswith("label_values(")
    ]
    rules = [{"record": f"r:{number}", "expr": ask} for number, ask in enumerate(expressions)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def as_sent(sql: str) -> str:
    """A panel's SQL as Grafana and its plug-in send it."""
    sent = sql.replace("${month}", "2026-11-01")
    sent = sent.replace("$__fromTime", "toDateTime(1793500000)").replace("$__toTime", "toDateTime(1796500000)")
    assert "$" not in sent
    return sent


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(f"chdb:{tmp_path_factory.mktemp('panels') / 'store'}") as opened:
        opened.migrate()
        yield opened


def ask(store: Store, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in store.query(as_sent(sql))]


@pytest.mark.parametrize("number", range(len(asked(sql=True))))
def test_the_engine_runs_every_query(store: Store, number: int) -> None:
    ask(store, asked(sql=True)[number])


def panel(title: str) -> str:
    (found,) = [panel for one in MADE.values() for panel in one.panels() if panel.title == title]
    ((sql, _),) = found.asks
    return sql


def test_what_was_counted_and_not_rated_is_shown(store: Store) -> None:
    """Two organisations with usage in the month, one of them with two statements."""
    store.command("TRUNCATE TABLE usage_windows")
    for org in (1, 2):
        store.command(
            "INSERT INTO usage_windows (org_id, category, window_start, topic, partition, quantity, events)"
            f" VALUES ({org}, 'error', '2026-11-05 10:00:00', 'usage', '0', 7, 3)"
        )
    month = "'2026-11-01 00:00:00', '2026-12-01 00:00:00'"
    lines = "`lines.line_no`, `lines.category`, `lines.description`, `lines.quantity`, `lines.amount`, `lines.detail`"
    for contract in ("a", "b"):
        store.command(
            f"INSERT INTO statements (org_id, contract, period_start, period_end, currency, total, version, {lines})"
            f" VALUES (1, '{contract}', {month}, 'USD', {LARGEST}, 1, [1, 2], ['error', ''], ['', ''], [7, 0],"
            f""" [{LARGEST}, -1], ['{{}}', '{{"kind":"already_invoiced"}}'])"""
        )
    # Of a contract that no longer holds, and so emptied.
    store.command(
        "INSERT INTO statements (org_id, contract, period_start, period_end, currency, total, version)"
        f" VALUES (3, 'c', {month}, 'USD', 0, 1)"
    )
    store.command(
        "INSERT INTO interim_statements (org_id, contract, period_start, period_end, number, currency, total)"
        f" VALUES (1, 'a', {month}, 1, 'USD', 1)"
    )
    store.command(
        "INSERT INTO rating_failures (org_id, period_start, period_end, `failures.reason`, `failures.category`,"
        " `failures.detail`, version, rated_at) VALUES"
        f" (2, {month}, ['no_price'], ['error'], [''], 1, '2026-11-06 00:00:00')"
    )
    assert ask(store, panel("Organisations with a statement")) == [(1,)]
    assert ask(store, panel("Organisations with usage and no statement")) == [(1,)]
    assert ask(store, panel("Usage without a statement")) == [(2, "error", 7, 3)]
    ((currency, total, statements, interim),) = ask(store, panel("Total"))
    assert (currency, statements, interim) == ("USD", 2, 1)
    assert int(total) == 2 * LARGEST + 1
    assert [int(row[3]) for row in ask(store, panel("Largest organisations"))][:2] == [LARGEST + 1, LARGEST]
    assert [(row[1], int(row[2])) for row in ask(store, panel("By category"))] == [("error", 2 * LARGEST)]
    assert [row[:4:2] for row in ask(store, panel("What the last rating could not price"))] == [(2, "no_price")]


def test_a_difference_is_shown_and_a_law_that_holds_is_none(store: Store) -> None:
    for law, standing, place in (
        ("accepted", "difference", ""),
        ("accepted", "difference", "{}"),
        ("late", "holds", ""),
    ):
        store.command(
            "INSERT INTO reconciliations (at, run_id, law, place, standing, places)"
            f" VALUES ('2026-11-20 10:00:00', 'r', '{law}', '{place}', '{standing}', 1)"
        )
    ((_, laws),) = ask(store, panel("Laws that differ, by reconciliation"))
    assert laws == 1
    assert [row[:2] for row in ask(store, panel("The last reconciliation, law by law"))] == [
        ("accepted", "difference"),
        ("late", "holds"),
    ]
    assert [row[1:3] for row in ask(store, panel("Differences, place by place"))] == [("accepted", "{}")]


def test_letters_are_those_that_count(store: Store) -> None:
    """Those of a generation that a remeter has replaced are hidden, and its own are shown."""
    for table, generation, reason in (
        ("dead_letters", 1, "not_json"),
        ("remetered_letters", 2147483649, "unknown_category"),
    ):
        store.command(
            f"INSERT INTO {table} (topic, partition, generation, offset, `index`, reason)"
            f" VALUES ('usage', '0', {generation}, 5, 0, '{reason}')"
        )
    for generation, role in ((1, "replaced"), (2147483649, "candidate")):
        store.command(f"INSERT INTO remeter_parts VALUES ('00000001', 'usage', '0', {generation}, '{role}', 1)")
    store.command("INSERT INTO remeter_decisions VALUES ('00000001', 1, 'made', 'ada')")
    shown = panel("Dead letters that were not replayed")
    assert [row[:3] for row in ask(store, shown)] == [("usage", "not_json", 1)]
    store.command("INSERT INTO remeter_decisions VALUES ('00000001', 2, 'active', 'ada')")
    assert [row[:3] for row in ask(store, shown)] == [("usage", "unknown_category", 1)]


def test_a_panel_that_is_too_wide_goes_to_the_next_line() -> None:
    from deploy.dashboards.panels import Row

    wide = Panel("a", "A.", (("tally_ready", ""),), width=16)
    made = Dashboard("u", "t", "m", (Row("r", (wide, wide)),)).json()
    assert [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in made["panels"]] == [(0, 0), (0, 1), (0, 9)]
