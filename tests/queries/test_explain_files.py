"""`tally explain` on files that `tally run` metered: every line and event of them, against the oracle."""

import io
import json
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import oracle
from tests.metering.logs import EPOCH, SECOND
from tests.oracle import Event, Record
from tests.queries.conftest import Tally
from tests.queries.relogged import stated, value_of


def random_lines(chance: random.Random, lines: int) -> list[Record]:
    """A file's events, most of them in order, with repeats, late, conflicting and malformed ones."""
    seen: list[Event] = []
    records = []
    for number in range(lines):
        events = []
        for _ in range(chance.choice([1, 1, 1, 3])):
            age = chance.choice([0, 0, 0, 5, 200, 4000])
            fresh = Event(
                org=chance.randrange(1, 3),
                event_id=f"id {len(seen)}",
                quantity=chance.randrange(5),
                timestamp=EPOCH + (number * 20 - age) * SECOND,
                rejected=chance.choice([None] * 9 + ["not_json", "missing_field", "bad_quantity"]),
            )
            again = chance.choice(seen[-30:]) if seen and chance.random() < 0.4 else fresh
            events.append(replace(again, quantity=chance.choice([again.quantity, again.quantity, 9])))
            seen.append(events[-1])
        records.append(Record(number, None, tuple(events)))
    return stated(records)


def written(path: Path, records: list[Record]) -> list[Record]:
    """Write a file, with blank lines in it, and return the log with its offsets."""
    offset, placed = 0, []
    with path.open("wb") as file:
        for number, record in enumerate(records):
            line = (b"\n" if number % 7 == 3 else b"") + value_of(record) + b"\n"
            placed.append(Record(offset + (number % 7 == 3), None, record.events))
            offset += file.write(line)
    return placed


def test_every_event_of_a_folder(tally: Tally, folder: Path) -> None:
    chance = random.Random(7)
    (folder / "logs" / "eu").mkdir(parents=True)
    files = {
        name: written(folder / "logs" / name, random_lines(chance, lines))
        for name, lines in (("a.ndjson", 60), ("eu/b.ndjson", 12))
    }
    assert tally("run", "logs", "--batch-bytes", "2KiB", "-q").status == 0
    verdicts = set()
    for name, records in files.items():
        truth = oracle.meter(records, oracle.Rules())
        for record in chance.sample(records, len(records) // 2):
            found = json.loads(tally("explain", f"logs/{name}/{record.offset}", "--json").out)
            assert found["exact"]
            for fate in found["events"]:
                verdict = ":".join(part for part in (fate["verdict"], fate["reason"]) if part)
                assert verdict == truth.verdicts[record.offset, fate["index"]]
                assert fate["agrees"] is not False
                verdicts.add(verdict)
    assert verdicts >= {"accepted", "late", "duplicate", "rejected:conflicting_duplicate", "rejected:missing_field"}


def test_a_person_reads_the_row_and_its_totals(tally: Tally, folder: Path) -> None:
    event = Event(42, "x", quantity=3, timestamp=EPOCH)
    records = [event, event, Event(42, "y", quantity=4, timestamp=EPOCH)]
    placed = written(folder / "one.ndjson", [Record(n, None, (found,)) for n, found in enumerate(records)])
    assert tally("run", "one.ndjson", "-q").status == 0
    place = "one.ndjson/one.ndjson"
    first = tally("explain", f"{place}/0").out
    assert "event 0: accepted, on time" in first
    assert "org_id 42, event_id x, project_id 0, category error, quantity 3" in first
    assert "totals now quantity 7, events 2, max_quantity 4, first_offset 0" in first
    again = tally("explain", f"{place}/{placed[1].offset}").out
    assert f"event 0: duplicate of {place}/0/0: dropped" in again
    inside = tally("explain", f"{place}/3")
    assert inside.status == 2
    assert "no line starts at this byte" in inside.err
    assert "starts at 0" in inside.err


def test_a_file_that_is_not_the_one_any_more(tally: Tally, folder: Path) -> None:
    path = folder / "one.ndjson"
    written(path, [Record(0, None, (Event(1, "x", timestamp=EPOCH),))])
    assert tally("run", "one.ndjson", "-q").status == 0
    path.write_bytes(path.read_bytes() * 2)
    changed = tally("explain", "one.ndjson/one.ndjson/0")
    assert changed.status == 2
    assert "is not the log that was metered" in changed.err
    path.unlink()
    gone = tally("explain", "one.ndjson/one.ndjson/0")
    assert gone.status == 2
    assert str(path) in gone.err


def test_standard_input_cannot_be_read_again(tally: Tally, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "piped"
    written(path, [Record(0, None, (Event(1, "x", timestamp=EPOCH),))])

    class Piped(io.TextIOWrapper):
        pass

    with path.open("rb") as opened:
        piped: Any = Piped(opened)
        monkeypatch.setattr(sys, "stdin", piped)
        assert tally("run", "-", "--name", "piped", "-q").status == 0
    answer = tally("explain", "piped/0/0")
    assert answer.status == 2
    assert "standard input, which cannot be read again" in answer.err
