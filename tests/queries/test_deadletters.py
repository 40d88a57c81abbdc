"""`tally deadletters`: what is listed, how an event's bytes are shown, and positions as people write them."""

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SettingsError
from schemas.log import LogId
from schemas.verdicts import MAX_RAW_BYTES
from sinks.store import Store
from tally.cli import run
from tally.letter_views import readable
from tally.positions import Position, read_position
from tests.queries.conftest import Tally
from tests.queries.letters import event, keep, letter, total
from tests.store.samples import NOON

EVIL = b'{"a":"\x1b[2J\x07\xff\xe2\x80\xae\x00"}\n\tend'


def test_a_list_counts_by_reason_and_shows_positions(store: Store, tally: Tally) -> None:
    keep(store, [letter(7, "not_json", raw=b"x"), letter(7, index=2), replace(letter(9), clock=NOON)])
    keep(store, [letter(5, "bad_quantity")], "traffic/2026/day 1.ndjson")
    shown = tally("deadletters", "list").out
    assert shown.startswith("4 dead letters: unknown_category 2, bad_quantity 1, not_json 1\n")
    for position in ("events/0/7/0", "events/0/7/2", "events/0/9/0", "traffic/2026/day 1.ndjson/5/0"):
        assert position in shown
    assert "2026-11-22T12:00:00Z" in shown
    one = tally("deadletters", "list", "--topic", "events", "--reason", "unknown_category", "--limit", "1")
    assert one.out.startswith("2 dead letters: unknown_category 2\n")
    assert "the first 1 of 2" in one.err
    assert "day 1.ndjson/5" in tally("deadletters", "list", "--partition", "2026/day 1.ndjson").out
    assert tally("deadletters", "list", "--topic", "none").out == "no dead letters for what was asked\n"


def test_a_list_as_json(store: Store, tally: Tally) -> None:
    keep(store, [letter(7, index=2), letter(8, "bad_quantity")])
    assert tally("deadletters", "replay", "events/0/7", "--by", "ada").status == 0
    found = json.loads(tally("deadletters", "list", "--json").out)
    assert found["by_reason"] == {"bad_quantity": 1, "unknown_category": 1}
    assert found["total"] == 2
    first = {"topic": "events", "partition": "0", "offset": 7, "index": 2, "reason": "unknown_category"}
    assert found["rows"][0] == {
        **first,
        "detail": "because",
        "clock": None,
        "bytes": len(letter(7).raw),
        "replayed": "",  # its category is no more known than it was
    }


def test_a_misspelt_reason_is_refused(store: Store, tally: Tally) -> None:
    keep(store, [letter(1)])
    answer = tally("deadletters", "list", "--reason", "not_jsn")
    assert answer.status == 2
    assert "there are not_json, not_an_object" in answer.err


def test_bytes_are_shown_so_that_no_terminal_obeys_them(store: Store, tally: Tally) -> None:
    keep(store, [replace(letter(7, "not_json", raw=EVIL), detail="found \x1b[31m")])
    shown = tally("deadletters", "show", "events/0/7").out
    assert r'{"a":"\x1b[2J\x07\xff\u202e\x00"}' in shown
    assert "\n\tend" in shown
    assert r"found \x1b[31m" in shown
    assert shown.isascii()
    assert "\x1b" not in tally("deadletters", "list").out
    found = json.loads(tally("deadletters", "show", "events/0/7", "--json").out)[0]
    assert base64.b64decode(found["raw_base64"]) == EVIL


def test_raw_bytes_are_exact(store: Store, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    keep(store, [letter(7, "not_json", raw=EVIL), letter(8), letter(8, index=1)])
    assert run(["deadletters", "show", "events/0/7", "--raw", "--store", store.url]) == 0
    assert capfdbinary.readouterr().out == EVIL
    assert run(["deadletters", "show", "events/0/8", "--raw", "--store", store.url]) == 2
    answer = capfdbinary.readouterr()
    assert b"name one of events/0/8/0, events/0/8/1" in answer.err
    assert answer.out == b""


def test_a_cut_event_says_so(store: Store, tally: Tally) -> None:
    keep(store, [replace(letter(7, raw=b"x" * MAX_RAW_BYTES), raw_size=3 << 20)])
    shown = tally("deadletters", "show", "events/0/7").out
    assert "3,145,728, the first 1,048,576 of them kept" in shown
    assert "bytes more" in shown
    assert len(shown) < 10_000
    assert "cut" in tally("deadletters", "replay").out


def test_replay_says_what_became_of_the_letters(store: Store, tally: Tally) -> None:
    keep(store, [letter(1, category="error"), letter(2, category="eror", event_id="b"), letter(3, category="error")])
    dry = tally("deadletters", "replay", "--dry-run")
    assert "a dry run: nothing was written" in dry.out
    assert total(store) == (0, 0)
    done = json.loads(tally("deadletters", "replay", "--json", "--by", "ada").out)
    assert done["outcomes"] == {"counted": 1, "rejected": 1, "duplicate": 1}
    assert done["counted"] == [{"category": "error", "events": 1, "quantity": 3}]
    assert (done["by"], done["dry_run"], done["letters"]) == ("ada", False, 3)
    assert [row["outcome"] for row in done["rows"]] == ["counted", "rejected", "duplicate"]
    assert total(store) == (3, 1)
    again = tally("deadletters", "replay")
    assert "already_replayed" in again.out
    assert "events/0/2/0: rejected: unknown_category" in again.out
    assert "counted, " in tally("deadletters", "show", "events/0/1").out
    assert json.loads(tally("deadletters", "show", "events/0/1", "--json").out)[0]["replayed"]["by"] == "ada"
    nothing = tally("deadletters", "replay", "events/0/99")
    assert nothing.status == 2
    assert "there is no dead letter" in nothing.err


def test_an_explicit_format_is_asked_of_all_letters(store: Store, tally: Tally) -> None:
    keep(store, [letter(1, category="error")])
    asked = ("deadletters", "replay", "--dry-run", "--json")
    assert json.loads(tally(*asked, "--format", "cloudevents").out)["outcomes"] == {"rejected": 1}
    assert json.loads(tally(*asked, "--format", "tally").out)["outcomes"] == {"counted": 1}


def test_show_without_a_letter_names_explain(store: Store, tally: Tally) -> None:
    keep(store, [letter(1)])
    answer = tally("deadletters", "show", "events/0/2")
    assert answer.status == 2
    assert "`tally explain events/0/2`" in answer.err


# ---- positions ----

LOGS = [LogId("events", "0"), LogId("traffic", "a"), LogId("traffic", "a/5"), LogId("traffic", "b c/d.ndjson")]


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("events/0/17", Position(LOGS[0], 17)),
        ("events/0/17/3", Position(LOGS[0], 17, 3)),
        ("traffic/b c/d.ndjson/0", Position(LOGS[3], 0)),
        ("traffic/a/5/7", Position(LOGS[1], 5, 7)),  # and not offset 7 of a/5
        ("traffic/a/5/7/0", Position(LOGS[2], 7, 0)),
    ],
)
def test_positions_are_read_against_the_logs(text: str, position: Position) -> None:
    assert read_position(text, LOGS) == position
    assert read_position(text, reversed(LOGS)) == position


@given(log=st.sampled_from(LOGS), offset=st.integers(0, 2**63 - 1), index=st.integers(0, 2**32 - 1))
def test_a_position_written_in_full_is_read_back(log: LogId, offset: int, index: int) -> None:
    assert read_position(str(Position(log, offset, index)), LOGS) == Position(log, offset, index)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("events", "the store has events/0, traffic/a"),
        ("events/0", "after events/0 an offset must follow"),
        ("events/0/x", "after events/0 an offset must follow"),
        ("events/0/-1", "after events/0 an offset must follow"),
        (f"events/0/{2**63}", "after events/0 an offset must follow"),
        ("events/1/5", "the store has events/0"),
    ],
)
def test_what_is_no_position_is_refused(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_position(text, LOGS)


@given(st.binary(max_size=60))
def test_what_is_readable_is_printable(raw: bytes) -> None:
    assert all(character.isprintable() or character in "\n\t" for character in readable(raw))


def test_an_ordinary_event_is_shown_as_it_is() -> None:
    text = json.dumps(event(source="Zürich, 東京 😀"), ensure_ascii=False)
    assert readable(text.encode()) == text
