"""The list of metrics: described, documented, typed, and named as Prometheus names them."""

import re
import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from tally.telemetry.names import ABOUT, METRICS, PLACE, prometheus_name
from tally.telemetry.page import page
from tests.repository.code import ROOT


def test_the_page_of_metrics_is_current() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == page(), "run `make docs`"


def test_every_metric_is_described_in_a_sentence() -> None:
    for name, about in ABOUT.items():
        assert re.fullmatch(r"tally(\.[a-z_]+)+", name)
        assert about.meaning.endswith(".")
        assert about.meaning[0].isupper() or about.meaning[0].isdigit()
        of_rating = {("result",), ("outcome",), ("month", "reason")}
        assert about.attributes[:2] in {PLACE, (), ("topic",), ("table",), ("law",), *of_rating}


def test_names_do_not_meet_in_prometheus() -> None:
    assert len({prometheus_name(name) for name in METRICS}) == len(METRICS)


def test_the_operators_page_names_only_metrics_that_there_are() -> None:
    text = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
    found = {name.removesuffix("_bucket") for name in re.findall(r"\btally_[a-z_]+", text)}
    assert found <= {prometheus_name(name) for name in METRICS}
    assert len(found) > 5


def test_a_misspelt_metric_is_a_type_error(tmp_path: Path) -> None:
    file = tmp_path / "misspelt.py"
    file.write_text(
        "from tally.telemetry.names import Metric\n"
        "def record(name: Metric) -> None: ...\n"
        'record("tally.flush.rows")\n'
        'record("tally.flush.row")\n'
    )
    mypy = [sys.executable, "-m", "mypy", "--config-file=", f"--cache-dir={tmp_path}", str(file)]
    done = subprocess.run(mypy, capture_output=True, text=True, check=False, cwd=ROOT)
    assert [line.partition(": error: ")[0] for line in done.stdout.splitlines()[:-1]] == [f"{file}:4"], done.stdout


def test_an_empty_registry_has_no_metrics_of_its_own() -> None:
    """What a scrape shows is what this process exports, and nothing that a library registered globally."""
    assert generate_latest(CollectorRegistry()) == b""
