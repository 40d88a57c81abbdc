"""One text for one value: equal values give equal text, and the text keeps the value."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.formats.canonical import PLAIN_LENGTH, canonical_json, canonical_number, dimensions_of
from schemas.formats.strict_json import JsonValue, Number, load

SAME = {
    "0": ["0", "-0", "0.0", "-0.000", "0e5", "0E-5", "-0e999"],
    "100": ["100", "1e2", "1E+2", "100.0", "10.00e1", "1000e-1"],
    "1.5": ["1.5", "1.50", "15e-1", "0.15e1", "0.0015E3"],
    "-0.001": ["-0.001", "-1e-3", "-0.1e-2"],
    "0.1": ["0.1", "0.10", "1e-1"],
    "1e400": ["1e400", "1E400", "10e399", "0.1e401", "1" + "0" * 400],
    "1.23e-400": ["1.23e-400", "123e-402", "0.0123e-398"],
    "1e" + "9" * 200: ["1e" + "9" * 200, "1.0e" + "9" * 200],
    "9" * PLAIN_LENGTH: ["9" * PLAIN_LENGTH, "9" * PLAIN_LENGTH + ".0"],
    "1e" + str(PLAIN_LENGTH): ["1" + "0" * PLAIN_LENGTH],
    "0.30000000000000004": ["0.30000000000000004"],
    "0.1000000000000000055511151231257827": ["0.1000000000000000055511151231257827"],
}


@pytest.mark.parametrize(("canonical", "spelling"), [(key, text) for key, texts in SAME.items() for text in texts])
def test_spellings(canonical: str, spelling: str) -> None:
    assert canonical_number(spelling) == canonical


digits = st.text("0123456789", min_size=1, max_size=45)
numbers = st.builds(
    lambda sign, whole, fraction, exponent: f"{sign}{whole.lstrip('0') or '0'}{fraction}{exponent}",
    st.sampled_from(["", "-"]),
    digits,
    st.one_of(st.just(""), digits.map(lambda text: "." + text)),
    st.one_of(st.just(""), st.integers(-60, 60).map(lambda n: f"e{n}"), st.integers(0, 60).map(lambda n: f"E+{n:03}")),
)


@given(numbers)
def test_a_number_keeps_its_value_exactly_and_stays_json(text: str) -> None:
    canonical = canonical_number(text)
    assert Fraction(canonical) == Fraction(text)
    assert canonical_number(canonical) == canonical
    json.loads(canonical)


@given(numbers, st.integers(-50, 50), st.integers(0, 5))
def test_two_spellings_of_one_number_give_one_text(text: str, shift: int, zeros: int) -> None:
    mantissa, _, exponent = text.lower().partition("e")
    _, _, fraction = mantissa.partition(".")
    power = int(exponent or 0) - len(fraction) - shift
    scaled = Fraction(text) / Fraction(10) ** power
    if scaled.denominator == 1:
        other = f"{scaled.numerator}{'.' + '0' * zeros if zeros else ''}e{power}"
        assert canonical_number(other) == canonical_number(text)


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(st.characters(exclude_categories=["Cs"]))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), inner, max_size=3),
    ),
    max_leaves=8,
)


@given(values)
def test_canonical_json_is_read_back_as_the_same_value(value: JsonValue) -> None:
    text = canonical_json(value)
    assert canonical_json(load(text)) == text
    assert json.loads(text, parse_float=Fraction) == value


def test_keys_are_sorted_and_nothing_is_padded() -> None:
    assert (
        canonical_json({"b": [1, Number("1.0")], "a": {"d": None, "c": True}}) == '{"a":{"c":true,"d":null},"b":[1,1]}'
    )


def test_dimensions_are_empty_without_a_grouped_attribute() -> None:
    assert dimensions_of({"a": 1}, ()) == ""
    assert dimensions_of({}, ("a",)) == ""
    assert dimensions_of(None, ("a",)) == ""
    assert dimensions_of({"a": 1}, ("b",)) == ""
    assert dimensions_of({"b": "x", "a": 1}, ("b", "a")) == '{"a":1,"b":"x"}'
