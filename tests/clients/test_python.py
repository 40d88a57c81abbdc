"""What docs/ANALYSTS.md says of Python's data frames and of curl, and which versions it says were tested."""

import json
import re
import shlex
import shutil
import subprocess
from decimal import Decimal

import pytest
from clickhouse_connect.driver.client import Client

from tests.analysts.page import PAGE
from tests.clients.reads import Address
from tests.clients.tools import HERE
from tests.repository.code import ROOT

# One server for all of them: the same worker.
pytestmark = pytest.mark.xdist_group("clients")


def test_a_data_frame_keeps_sums_and_amounts_exact(connected: Client) -> None:
    big = "sum(quantity) + toInt128('9223372036854775808') AS big"
    frame = connected.query_df(f"SELECT sum(quantity) AS total, {big} FROM usage")
    expected = connected.query("SELECT sum(quantity) FROM usage").result_rows[0][0]
    assert int(frame["total"][0]) == expected
    assert frame["total"].dtype == "int64"
    assert frame["big"][0] == expected + 2**63
    charges = connected.query_df("SELECT amount FROM charges ORDER BY ALL")
    assert all(isinstance(amount, Decimal) for amount in charges["amount"])


def test_arrow_has_no_128_bits(connected: Client) -> None:
    table = connected.query_arrow("SELECT sum(quantity) AS wide, toInt64(sum(quantity)) AS fits FROM usage")
    assert [str(field.type) for field in table.schema] == ["fixed_size_binary[16]", "int64"]
    assert table["fits"][0].as_py() == connected.query("SELECT sum(quantity) FROM usage").result_rows[0][0]


def test_curl_reads_as_the_page_says(address: Address, connected: Client) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no `curl` on the PATH")
    (shown,) = re.findall(r"`(curl [^`]+)`", PAGE.read_text(encoding="utf-8"))
    words = [
        word.replace("PASSWORD", address.password).replace("8123", str(address.port)) for word in shlex.split(shown)
    ]
    said = subprocess.run([*words, "-sS"], check=True, capture_output=True, timeout=60).stdout
    expected = connected.query("SELECT toString(complete_to) FROM complete_to").result_rows[0][0]
    assert json.loads(said)["data"] == [{"complete_to": expected}]


def test_the_page_names_the_versions_that_are_tested() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    jdbc = re.search(r"clickhouse-jdbc</artifactId>\s*<version>([^<]+)<", (HERE / "pom.xml").read_text())
    node = json.loads((HERE / "package.json").read_text())["dependencies"]["@clickhouse/client"]
    golang = re.search(r"clickhouse-go/v2 v(\S+)", (HERE / "go" / "go.mod").read_text())
    python = re.search(r'"clickhouse-connect==([^"]+)"', (ROOT / "pyproject.toml").read_text())
    assert jdbc
    assert golang
    assert python
    named = {
        "clickhouse-jdbc": jdbc[1],
        "@clickhouse/client": node,
        "clickhouse-go": golang[1],
        "clickhouse-connect": python[1],
    }
    for name, version in named.items():
        assert f"{name} {version}" in text, (name, version)
