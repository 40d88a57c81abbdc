"""The contract as a whole: judge, models and JSON Schema say the same, whatever the bytes."""

import importlib
import json
import pkgutil
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas import formats
from schemas.errors import SettingsError
from schemas.formats import FORMATS
from schemas.formats.base import Decoded, Rejected
from schemas.formats.judge import Judge, judge, judge_of
from schemas.formats.schema import json_schema
from schemas.formats.strict_json import JsonValue, Number, decode, load
from schemas.verdicts import MAX_QUANTITY, REASONS
from tests.formats.samples import ABSENT, AT, CATALOGUE, EVENTS, JUDGES, Written, settings, text_of

names = st.sampled_from(sorted(FORMATS))

# What may stand where a field was: right, nearly right, and plainly wrong.
fields = st.one_of(
    st.sampled_from(
        [
            ABSENT, None, True, False, "", "1", "error", "1.0", "x" * 257, AT,
            "2026-02-29T00:00:00Z", "2026-11-22T10:00:60Z", "1999-01-01T00:00:00Z",
            0, 1, -1, 7, 39, 255, 256, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 10**30,
            [], {}, [1], {"a": 1}, {"a": None}, {"a": [1]}, {"a": "b", "c": True}, {"a": Written("1.5")},
            {"quantity": -1}, {"quantity": 2}, {"quantity": Written("1.5")}, {"project_id": "7"},
            Written("1.5"), Written("1e2"), Written("-0.0"),
        ]
    ),
    st.integers(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)  # fmt: skip


@st.composite
def near_events(draw: st.DrawFn, name: str) -> bytes:
    """A well-formed event of which up to three fields were changed, taken away or added."""
    event: dict[str, Any] = dict(EVENTS[name])
    known = [*FORMATS[name].model.model_fields, "other"]
    for field in draw(st.lists(st.sampled_from(known), max_size=3)):
        event[field] = draw(fields)
    return text_of({key: value for key, value in event.items() if value is not ABSENT}).encode()


def test_every_format_is_found_in_a_file_of_its_own() -> None:
    modules = [importlib.import_module(m.name) for m in pkgutil.iter_modules(formats.__path__, "schemas.formats.")]
    assert {module.FORMAT.name for module in modules if hasattr(module, "FORMAT")} == set(FORMATS)
    assert {"tally", "sentry-outcomes", "cloudevents"} <= set(FORMATS)


@given(names, st.binary(max_size=200))
def test_any_bytes_are_judged(name: str, value: bytes) -> None:
    judged = JUDGES[name](value)
    assert judged
    for one in judged:
        assert isinstance(one.outcome, Decoded) or one.outcome.reason in REASONS
        assert one.raw in value


@given(names, st.data())
def test_bytes_that_were_nearly_an_event_are_judged(name: str, data: st.DataObject) -> None:
    value = bytearray(text_of(EVENTS[name]).encode() * data.draw(st.integers(1, 2)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    assert JUDGES[name](bytes(value))


@given(names, st.data())
def test_a_decoded_event_keeps_what_the_columns_promise(name: str, data: st.DataObject) -> None:
    (one,) = JUDGES[name](data.draw(near_events(name)))
    if isinstance(one.outcome, Decoded):
        assert 0 <= one.outcome.org_id < 2**63
        assert 0 <= one.outcome.project_id < 2**63
        assert 0 <= one.outcome.quantity <= MAX_QUANTITY
        assert 0 <= one.outcome.category < len(CATALOGUE.categories)
        assert one.outcome.event_id != ""
    else:
        assert one.outcome.detail.replace("…", "").isascii()
        assert one.outcome.detail.isprintable()
        assert len(one.outcome.detail) < 400


@given(names, st.data())
def test_judge_takes_what_the_model_and_the_catalogue_take(name: str, data: st.DataObject) -> None:
    value = data.draw(near_events(name))
    (one,) = JUDGES[name](value)
    found = load(decode(value))
    assert isinstance(found, dict)
    if name == "cloudevents":  # null means absent among the context attributes
        found = {key: member for key, member in found.items() if member is not None}
    try:
        event: Any = FORMATS[name].model.model_validate(found)
    except ValidationError:
        assert isinstance(one.outcome, Rejected)
        return
    if name == "sentry-outcomes":
        known = (1 if event.category is None else event.category) in CATALOGUE.row_by_id()
    else:
        known = (event.category if name == "tally" else event.type) in CATALOGUE.row_by_name()
    assert (one.outcome.reason if isinstance(one.outcome, Rejected) else None) == (
        None if known else "unknown_category"
    )


# JSON Schema counts 3.0 as an integer; the contract goes by how a number is written, as its descriptions say.
_types = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
    "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
).redefine("number", lambda _, value: isinstance(value, int | Decimal) and not isinstance(value, bool))
_Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=_types)
VALIDATORS = {name: _Validator(json_schema(name)) for name in FORMATS}


def as_decimals(value: JsonValue) -> Any:
    if isinstance(value, dict):
        return {key: as_decimals(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_decimals(item) for item in value]
    return Decimal(value.text) if isinstance(value, Number) else value


@given(names, st.data())
def test_json_schema_agrees_on_structure(name: str, data: st.DataObject) -> None:
    value = data.draw(near_events(name))
    (one,) = JUDGES[name](value)
    found = as_decimals(load(decode(value)))
    valid = VALIDATORS[name].is_valid(found)
    why = one.outcome.reason if isinstance(one.outcome, Rejected) else "ok"
    if valid:
        assert why in {"ok", "unknown_category", "bad_timestamp"}
    else:
        assert why != "ok"


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_json_schema_is_one_and_takes_its_own_examples(name: str) -> None:
    schema = json_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"]
    assert schema["description"]
    assert json.loads(json.dumps(schema)) == schema
    for field in schema["properties"].values():
        assert field["description"]
    for example in schema["examples"]:
        assert jsonschema.Draft202012Validator(schema).is_valid(example)
        (one,) = JUDGES[name](json.dumps(example).encode())
        assert isinstance(one.outcome, Decoded)


def test_an_unknown_format_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(SettingsError, match="cloudevents, sentry-outcomes, tally"):
        judge(b"{}", settings("telly"))
    with pytest.raises(SettingsError):
        json_schema("telly")


def test_a_judge_is_made_once_for_settings_and_never_mixed_up() -> None:
    mine = settings()
    assert judge_of(mine) is judge_of(mine)
    value = text_of(EVENTS["sentry-outcomes"]).encode()
    for _ in range(200):  # settings that are given up leave their id to others
        assert judge(value, settings("sentry-outcomes")) == Judge(settings("sentry-outcomes"))(value)
        assert judge(value, settings("tally")) == JUDGES["tally"](value)
