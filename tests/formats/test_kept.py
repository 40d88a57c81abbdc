"""What a category keeps of its events' attributes: read exactly in every format, or refused by name."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from schemas.catalogue import Catalogue, CatalogueFile, Category, Keep, load_catalogue
from schemas.errors import SettingsError
from schemas.formats.base import Decoded, Outcome, Rejected
from schemas.formats.judge import judge
from schemas.log import NO_VALUES, KeptValues
from schemas.metering import MeterSettings
from tests.formats.samples import EVENTS, Written, text_of

CATALOGUE = Catalogue(
    (
        Category(id=1, name="error"),
        Category(id=2, name="seat", keep=Keep(value="user")),
        Category(id=3, name="payment", keep=Keep(value="user", amount="price")),
        Category(id=4, name="level", keep=Keep()),
    )
)
ABSENT: Any = object()

AMOUNTS = [
    ("12.5", "12.5"),
    ("0", "0"),
    ("007.10", "7.1"),
    ("1e2", "100"),
    ("0.000000000000000001", "0.000000000000000001"),
    ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
    (12, "12"),
    (0, "0"),
    (10**19, "10000000000000000000"),
    (Written("0.10"), "0.1"),
    (Written("1.5e-3"), "0.0015"),
    (Written("-0.0"), "0"),
    (Written("1e19"), "10000000000000000000"),
]
NO_AMOUNTS = [
    "",
    "abc",
    "1,5",
    "1.",
    ".5",
    "+1",
    " 1",
    "-1",
    "1e20",
    "0.0000000000000000001",
    "NaN",
    "0x1",
    True,
    False,
]
NO_AMOUNTS += [-1, 10**20, Written("-0.01"), Written("1e-19"), Written("1e999999999999"), "١", "9" * 300]


def value_of(format_name: str, category: str, attributes: dict[str, Any], **changes: Any) -> bytes:
    event = json.loads(json.dumps(EVENTS[format_name]))
    if format_name == "tally":
        event |= {"category": category, "attributes": attributes}
    else:
        event["type"] = category
        event["data"] |= attributes
    return text_of({**event, **changes}).encode()


def outcome(value: bytes, format_name: str = "tally") -> Outcome:
    (judged,) = judge(value, MeterSettings(CATALOGUE, format=format_name))
    return judged.outcome


def kept(format_name: str, category: str, attributes: dict[str, Any]) -> KeptValues | Rejected:
    found = outcome(value_of(format_name, category, attributes), format_name)
    return found if isinstance(found, Rejected) else found.kept


@pytest.mark.parametrize("format_name", ["tally", "cloudevents"])
@pytest.mark.parametrize(("written", "read"), AMOUNTS, ids=str)
def test_an_amount_is_read_as_it_was_written(format_name: str, written: Any, read: str) -> None:
    assert kept(format_name, "payment", {"price": written}) == KeptValues("", read)


@pytest.mark.parametrize("format_name", ["tally", "cloudevents"])
@pytest.mark.parametrize("written", NO_AMOUNTS, ids=lambda written: repr(written)[:30])
def test_what_is_no_amount_is_refused(format_name: str, written: Any) -> None:
    found = kept(format_name, "payment", {"price": written})
    assert isinstance(found, Rejected)
    assert found.reason == "wrong_type"
    assert "price: found" in found.detail


@pytest.mark.parametrize("format_name", ["tally", "cloudevents"])
def test_an_event_without_its_amount_is_never_billed_as_nothing(format_name: str) -> None:
    for attributes in ({}, {"user": "a"}):
        found = kept(format_name, "payment", attributes)
        assert isinstance(found, Rejected)
        assert found.reason == "missing_field"
    assert kept(format_name, "error", {}) == NO_VALUES


@pytest.mark.parametrize("format_name", ["tally", "cloudevents"])
@pytest.mark.parametrize(
    ("written", "read"),
    [("a", '"a"'), ("", '""'), ("7", '"7"'), (7, "7"), (Written("7.00"), "7"), (True, "true"), ("ü\n", '"ü\\n"')],
    ids=lambda value: str(value).replace(str(ABSENT), "absent"),
)
def test_a_value_has_one_text(format_name: str, written: Any, read: str) -> None:
    assert kept(format_name, "seat", {"user": written, "other": 1}) == KeptValues(read, "")
    # Nothing else is kept, and nothing of categories that do not ask for it.
    assert kept(format_name, "seat", {"other": written}) == NO_VALUES
    assert kept(format_name, "level", {"user": written}) == NO_VALUES
    assert kept(format_name, "error", {"user": written, "price": "x"}) == NO_VALUES


def test_members_of_cloudevents_that_are_no_attributes() -> None:
    assert kept("cloudevents", "seat", {"user": None}) == NO_VALUES
    found = kept("cloudevents", "seat", {"user": [1]})
    assert isinstance(found, Rejected)
    assert found.reason == "wrong_type"
    assert kept("cloudevents", "error", {"user": [1]}) == NO_VALUES
    assert isinstance(kept("cloudevents", "payment", {"price": None}), Rejected)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"event_id": ABSENT}, "missing_field"),
        ({"org_id": "1"}, "missing_field"),
        ({"quantity": -1}, "missing_field"),
        ({"timestamp": "yesterday"}, "missing_field"),
        ({"category": "nope"}, "unknown_category"),
        ({"category": 7}, "wrong_type"),
        ({"attributes": 7}, "wrong_type"),
        ({"attributes": None}, "wrong_type"),
        ({"attributes": ABSENT}, "missing_field"),
        ({"attributes": {"price": "x"}, "quantity": -1}, "wrong_type"),
        ({"attributes": {"price": "1"}, "quantity": -1}, "bad_quantity"),
        ({"attributes": {"price": "1", "user": None}}, "wrong_type"),
    ],
    ids=lambda value: str(value).replace(str(ABSENT), "absent"),
)
def test_the_first_reason_in_the_closed_order_is_given(changes: dict[str, Any], reason: str) -> None:
    whole = {**EVENTS["tally"], "category": "payment", "attributes": {"user": "a"}, **changes}
    found = outcome(text_of({name: value for name, value in whole.items() if value is not ABSENT}).encode())
    assert isinstance(found, Rejected)
    assert found.reason == reason


def test_arrow_carries_attributes() -> None:
    rows = [("payment", "12.50", "a"), ("payment", None, "b"), ("seat", None, "c"), ("error", None, None)]
    attributes = [
        {name: one for name, one in (("price", price), ("user", user)) if one is not None} for _, price, user in rows
    ]
    table = pa.table(
        {
            "event_id": [f"e{number}" for number in range(len(rows))],
            "org_id": [1] * len(rows),
            "project_id": [7] * len(rows),
            "category": [category for category, _, _ in rows],
            "quantity": [3] * len(rows),
            "timestamp": ["2026-11-22T10:00:00Z"] * len(rows),
            "attributes": pa.array(attributes, pa.struct([("price", pa.string()), ("user", pa.string())])),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    judged = judge(sink.getvalue().to_pybytes(), MeterSettings(CATALOGUE))
    found = [one.outcome.kept if isinstance(one.outcome, Decoded) else one.outcome.reason for one in judged]
    assert found == [KeptValues('"a"', "12.5"), "missing_field", KeptValues('"c"', ""), NO_VALUES]


def test_sentry_outcomes_carry_none() -> None:
    def reason(number: int, what: int) -> str:
        changed = {**EVENTS["sentry-outcomes"], "category": number, "outcome": what}
        found = outcome(text_of(changed).encode(), "sentry-outcomes")
        return found.reason if isinstance(found, Rejected) else f"{found.not_billable} {found.kept}"

    assert reason(2, 0) == f"None {NO_VALUES}"
    assert reason(3, 0) == "missing_field"
    assert reason(3, 1) == f"filtered {NO_VALUES}"


def test_a_catalogue_says_what_it_keeps() -> None:
    found = CatalogueFile.model_validate(
        {"categories": [{"id": 1, "name": "a", "keep": {}}, {"id": 2, "name": "b", "keep": {"value": "u"}}]}
    )
    catalogue = Catalogue(tuple(found.categories))
    assert catalogue.keeps() == {0: Keep(), 1: Keep(value="u")}
    wrongs: tuple[Any, ...] = ({"values": "u"}, {"value": ""}, {"value": 7}, [], "u")
    for wrong in wrongs:
        with pytest.raises(ValidationError):
            CatalogueFile.model_validate({"categories": [{"id": 1, "name": "a", "keep": wrong}]})


def test_every_declaration_has_a_digest_of_its_own() -> None:
    keeps = (None, Keep(), Keep(value="a"), Keep(amount="a"), Keep(value="a", amount="b"), Keep(value="b", amount="a"))
    digests = [Catalogue((Category(id=1, name="x", keep=keep),)).digest() for keep in keeps]
    assert len(set(digests)) == len(keeps)


def test_a_catalogue_file_that_keeps_what_it_cannot_says_where(tmp_path: Path) -> None:
    path = tmp_path / "categories.yaml"
    path.write_text("categories:\n  - {id: 1, name: a, keep: {value: [x]}}\n")
    with pytest.raises(SettingsError, match=r"categories\.0\.keep\.value"):
        load_catalogue(path)
