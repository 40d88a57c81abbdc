"""`tally source`: topics are listed, retired, refused while retired, and revived."""

from pathlib import Path

from tests.flow.processes import ok, tally
from tests.flow.traffic import write_log


def test_a_topic_is_retired_and_revived(tmp_path: Path) -> None:
    folder, store = tmp_path / "traffic", f"chdb:{tmp_path / 'store'}"
    write_log(folder / "a.ndjson", 100)
    ok("run", str(folder), "--store", store)
    assert ok("source", "list", "--store", store)["rows"][0]["topic"] == "traffic"
    unknown = tally("source", "retire", "trafic", "--store", store)
    assert unknown.returncode == 2
    assert "the store knows no such topic; it knows traffic" in unknown.stderr
    assert tally("source", "retire", "traffic", "--by", "tests", "--store", store).returncode == 0
    assert ok("source", "list", "--store", store)["rows"][0]["retired"] is True
    refused = tally("run", str(folder), "--store", store)
    assert refused.returncode == 2
    assert "tally source revive traffic" in refused.stderr
    assert tally("source", "revive", "traffic", "--store", store).returncode == 0
    assert ok("run", str(folder), "--store", store)["finished_before"] == 1
