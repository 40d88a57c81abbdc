"""The alert rules: promtool's own tests pass, each has both cases, each names its place in the runbook."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy.dashboards.flow import CHOSEN, COMPLETENESS
from tally.settings import load_settings
from tests.deploy.files import ALERTS, DEPLOY, ROOT, read, tool
from tests.deploy.test_dashboards import METRIC, known

CASES: Final = DEPLOY / "monitoring" / "alerts_test.yaml"
RULES: Final[list[dict[str, Any]]] = [rule for group in read(ALERTS)["groups"] for rule in group["rules"]]
ALERTING: Final = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED: Final = {rule["record"]: rule for rule in RULES if "record" in rule}


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def promtool(*arguments: str) -> str:
    done = subprocess.run([tool("promtool", "prometheus"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules_and_their_tests_pass() -> None:
    assert f"{len(RULES)} rules found" in promtool("check", "rules", str(ALERTS))
    assert "SUCCESS" in promtool("test", "rules", str(CASES))


def test_promtools_tests_can_fail(tmp_path: Path) -> None:
    """Each alert in turn never fires: its own case notices."""
    binary = tool("promtool", "prometheus")
    for name in ("TallyAbsent", "TallyRejections", "TallyReconcileDiffers"):
        text = ALERTS.read_text(encoding="utf-8")
        rules = yaml.safe_load(text)
        (rule,) = [rule for group in rules["groups"] for rule in group["rules"] if rule.get("alert") == name]
        rule["expr"] = "vector(0) > 1"
        (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
        cases = read(CASES)
        cases["tests"] = [case for case in cases["tests"] if case["name"].startswith(f"{name} ")]
        (tmp_path / CASES.name).write_text(yaml.safe_dump(cases), encoding="utf-8")
        done = subprocess.run(
            [binary, "test", "rules", str(tmp_path / CASES.name)], capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
        assert name in done.stdout + done.stderr


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    fires, quiet = set[str](), set[str]()
    for case in read(CASES)["tests"]:
        assert case["input_series"], case["name"]
        for one in case["alert_rule_test"]:
            (fires if one["exp_alerts"] else quiet).add(one["alertname"])
    assert fires == quiet == ALERTING.keys()


@pytest.mark.parametrize("name", ALERTING)
def test_an_alert_says_what_it_is_and_where_to_read_on(name: str) -> None:
    rule = ALERTING[name]
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert anchor in anchors(ROOT / page)
    assert name in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("number", range(len(RULES)))
def test_every_metric_is_in_tallys_list(number: int) -> None:
    expression = RULES[number]["expr"]
    for record in RECORDED:
        expression = expression.replace(record, "")
    metrics = METRIC.findall(expression)
    assert known(" ".join(metrics)) or not metrics
    assert metrics or "up{" in expression or any(record in RULES[number]["expr"] for record in RECORDED)


def test_the_runbook_names_no_alert_that_is_not_there() -> None:
    named = set(re.findall(r"\bTally[A-Z]\w+", (ROOT / "docs" / "RUNBOOK.md").read_text(encoding="utf-8")))
    assert named == ALERTING.keys()


def test_completeness_is_computed_alike_in_the_rules_and_on_the_dashboard() -> None:
    shown = re.sub(r"\s", "", COMPLETENESS.replace(CHOSEN, ""))
    assert shown == re.sub(r"\s", "", RECORDED["topic:tally_completeness_delay_seconds:max"]["expr"])


def test_the_bound_of_the_index_is_the_default() -> None:
    assert f"0.8 * {load_settings().dedupe_max_bytes}" in ALERTING["TallyDedupeNearBound"]["expr"]


def test_prometheus_takes_the_configuration_of_compose(tmp_path: Path) -> None:
    """With the rules beside it, as they are mounted."""
    shutil.copy(DEPLOY / "compose" / "prometheus.yaml", tmp_path)
    shutil.copy(ALERTS, tmp_path)
    said = promtool("check", "config", str(tmp_path / "prometheus.yaml"))
    assert f"{len(RULES)} rules found" in said
    volumes = read(DEPLOY / "compose.yaml")["services"]["prometheus"]["volumes"]
    places = {
        Path(target).parent for _, target, *_ in (volume.split(":") for volume in volumes) if target.endswith(".yaml")
    }
    assert len(places) == 1
