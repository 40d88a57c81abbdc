"""Every digit is kept, nothing is cut off, and a terminal obeys nothing that came with an event."""

import csv
import datetime as dt
import io
import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SettingsError
from tally.output import chosen_form, plain, print_csv, print_json, print_rows, print_table

COLUMNS = ("org_id", "name", "quantity", "amount")
ROWS = [(1234567, "a", 9_007_199_254_740_993, Decimal("1234.50")), (2, 'b,\n"c"', 0, Decimal("0.00"))]
INSTANT = dt.datetime(2026, 11, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))


def test_json_keeps_every_digit(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(COLUMNS, ROWS, "json", about={"complete_to": INSTANT})
    assert json.loads(capsys.readouterr().out) == {
        "rows": [
            {"org_id": 1234567, "name": "a", "quantity": 9007199254740993, "amount": "1234.50"},
            {"org_id": 2, "name": 'b,\n"c"', "quantity": 0, "amount": "0.00"},
        ],
        "complete_to": "2026-11-01T00:00:00Z",
    }


def test_csv_has_a_header_and_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    print_csv(
        (*COLUMNS, "more", "flag"), [(*row, {"k": [1]}, True) for row in ROWS] + [(3, None, None, None, None, None)]
    )
    found = list(csv.reader(io.StringIO(capsys.readouterr().out, newline="")))
    assert found == [
        ["org_id", "name", "quantity", "amount", "more", "flag"],
        ["1234567", "a", "9007199254740993", "1234.50", '{"k": [1]}', "true"],
        ["2", 'b,\n"c"', "0", "0.00", '{"k": [1]}', "true"],
        ["3", "", "", "", "", ""],
    ]


def test_a_table_separates_thousands_but_not_in_ids(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(COLUMNS, ROWS, "table", title="usage", about={"complete_to": INSTANT})
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "usage"
    assert [line.split() for line in lines[3:]] == [
        ["1234567", "a", "9,007,199,254,740,993", "1,234.50"],
        ["2", 'b,\\n"c"', "0", "0.00"],
        ["complete_to:", "2026-11-01T00:00:00Z"],
    ]
    # Right-aligned: the digits of a column end at the same place.
    assert lines[3].index("993") + 3 == lines[4].rindex(" 0 ") + 2


def test_a_pipe_gets_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["detail"], [["x" * 500]])
    assert "x" * 500 in capsys.readouterr().out


@pytest.mark.parametrize("text", ["[bold]no markup[/bold]", "[/]", ":smile:"])
def test_text_is_no_markup(capsys: pytest.CaptureFixture[str], text: str) -> None:
    print_table(["[name]"], [[text]])
    printed = capsys.readouterr().out
    assert text in printed
    assert "[name]" in printed


def test_control_characters_are_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name"], [["\x1b[2Jgone\r\x07\u202e"]])
    printed = capsys.readouterr().out
    assert "\\x1b[2Jgone\\r\\x07\\u202e" in printed
    assert "\x1b" not in printed


def test_an_empty_table_has_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["a", "b"], [])
    assert capsys.readouterr().out.split()[:2] == ["a", "b"]


def test_a_float_is_a_bug() -> None:
    for wrong in (0.5, [0.5], {"a": (0.5,)}, np.float64(1)):
        with pytest.raises(AssertionError, match="is a float"):
            plain(wrong)


def test_what_json_does_not_have(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([np.int64(5), Decimal("1E+3"), b"\xff\x00ok", dt.date(2026, 11, 1), None, True])
    assert json.loads(capsys.readouterr().out) == [5, "1000", "\\xff\x00ok", "2026-11-01", None, True]


@given(st.integers(), st.decimals(allow_nan=False, allow_infinity=False))
def test_numbers_read_back(whole: int, exact: Decimal) -> None:
    found = json.loads(json.dumps(plain([whole, exact])))
    assert found[0] == whole
    assert Decimal(found[1]) == exact


def test_only_one_form() -> None:
    assert [chosen_form(), chosen_form(as_json=True), chosen_form(as_csv=True)] == ["table", "json", "csv"]
    with pytest.raises(SettingsError):
        chosen_form(as_json=True, as_csv=True)
