"""Events that come again after the dedupe horizon, and were billed twice."""

import json
from pathlib import Path
from typing import Any

from tests.flow.traffic import timestamp
from tests.runbook.files import Files
from tests.runbook.oncall import OnCall
from tests.runbook.page import carries_out
from tests.runbook.scenes import holds

HOUR = 3_600


def line(number: int, at: int, **changed: Any) -> bytes:
    whole = {"event_id": f"e-{number}", "org_id": 1, "project_id": 7, "category": "error", "quantity": 3}
    return json.dumps({**whole, "timestamp": timestamp(at), **changed}).encode() + b"\n"


@carries_out("A duplicate storm", "tally recount --topic", "tally recount", "tally remeter run")
def test_a_producer_that_sends_again_after_the_horizon(tmp_path: Path, on_call: OnCall) -> None:
    files = Files(tmp_path)
    files.topic.mkdir()
    first = [line(number, number) for number in range(40)]
    later = [line(number, HOUR + number) for number in range(100, 140)]
    conflicts = [line(number, HOUR + number, quantity=4) for number in range(101, 104)]
    # The retries carry the events' own time, which is an hour old by then.
    again = [line(number, number) for number in range(40)]
    (files.topic / "0").write_bytes(b"".join([*first, *first[:5], *later, *conflicts, *again, *again[:9]]))
    (files.topic / "1").write_bytes(b"".join(line(number, number, org_id=2) for number in range(10)))
    files.count()
    end = (files.topic / "0").stat().st_size
    on_call.works_with(files.env, **{"1000000": "0", "2000000": str(end)})

    # Repeats within the horizon are dropped, and those after it are counted: 40 events too many.
    assert files.used() == (3 * 130, 130)
    assert files.is_exact()
    counted = on_call.type("tally recount --topic")
    assert counted.status == 0
    assert (
        "40 events had an id that had come before the dedupe horizon, 40 of them with the same payload" in counted.said
    )
    assert "the longest time between two was 62min" in counted.said
    bare = on_call.type("tally recount", "--topic", "usage", "--partition", "1")
    assert "no id came again after the dedupe horizon" in bare.said
    assert "conflicting_duplicate 3" in on_call.call("deadletters", "list").said

    # Under a horizon past that delay they are no usage any more, from one moment on.
    made = on_call.type("tally remeter run", "--json")
    assert made.status == 0, made.said
    name = str(json.loads(made.out)["remeter"])
    assert files.used() == (3 * 130, 130)
    assert on_call.call("remeter", "switch", name).status == 0
    assert files.used() == (3 * 90, 90)
    files.count(dedupe_horizon="2h")  # the workers under the new setting
    assert files.used() == (3 * 90, 90)
    again_counted = on_call.call("recount", "--topic", "usage", "--partition", "0", "--dedupe-horizon", "2h")
    assert "no id came again after the dedupe horizon" in again_counted.said
    holds(on_call)
