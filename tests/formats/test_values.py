"""Splitting values into events, and JSON strictly."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.formats.base import Rejected
from schemas.formats.strict_json import LongNumber, NotJson, Number, decode, load
from schemas.formats.values import split

CASES: list[tuple[bytes, list[tuple[bytes, Any]]]] = [
    # one JSON value
    (b'{"a":1}', [(b'{"a":1}', {"a": 1})]),
    (b' \r\n{"a":\n1}\t\n', [(b' \r\n{"a":\n1}\t\n', {"a": 1})]),
    (b"5", [(b"5", "not_an_object")]),
    (b"5.5", [(b"5.5", "not_an_object")]),
    (b'"x"', [(b'"x"', "not_an_object")]),
    (b"null", [(b"null", "not_an_object")]),
    (b"true", [(b"true", "not_an_object")]),
    # an array
    (b"[]", [(b"[]", "not_an_object")]),
    (b" [ ] ", [(b" [ ] ", "not_an_object")]),
    (b'[{"a":1}]', [(b'{"a":1}', {"a": 1})]),
    (b' [\n{ "a" : 1 } ,\r\n[1], 7 ,null]\n', [
        (b'{ "a" : 1 }', {"a": 1}), (b"[1]", "not_an_object"), (b"7", "not_an_object"), (b"null", "not_an_object"),
    ]),
    ('[{"a":"é😀"},{"b":"ü"}]'.encode(), [('{"a":"é😀"}'.encode(), {"a": "é😀"}), ('{"b":"ü"}'.encode(), {"b": "ü"})]),
    # an array that is none is one event
    (b'[{"a":1},]', [(b'[{"a":1},]', "not_json")]),
    (b'[{"a":1}', [(b'[{"a":1}', "not_json")]),
    (b'[{"a":1}{"a":2}]', [(b'[{"a":1}{"a":2}]', "not_json")]),
    (b'[,{"a":1}]', [(b'[,{"a":1}]', "not_json")]),
    (b'[{"a":1},{"a":NaN}]', [(b'[{"a":1},{"a":NaN}]', "not_json")]),
    (b'[{"a":1}]]', [(b'[{"a":1}]]', "not_json")]),
    (b'[{"a":1}] x', [(b'[{"a":1}] x', "not_json")]),
    (b'[{"a":"\\ud800"}]', [(b'[{"a":"\\ud800"}]', "not_json")]),
    # NDJSON
    (b'{"a":1}\n{"a":2}', [(b'{"a":1}', {"a": 1}), (b'{"a":2}', {"a": 2})]),
    (b'\n {"a":1}\r\n\n\t\n{"a":2} \n', [(b'{"a":1}', {"a": 1}), (b'{"a":2}', {"a": 2})]),
    (b'{"a":1}\nnonsense\n[{"a":2}]\n5', [
        (b'{"a":1}', {"a": 1}), (b"nonsense", "not_json"), (b'[{"a":2}]', "not_an_object"), (b"5", "not_an_object"),
    ]),
    (b'{"a":1}\n\xff\xfe\n{"a":2}', [(b'{"a":1}', {"a": 1}), (b"\xff\xfe", "not_json"), (b'{"a":2}', {"a": 2})]),
    (b'{"a":\n1,}', [(b'{"a":', "not_json"), (b"1,}", "not_json")]),
    # neither
    (b"", [(b"", "not_json")]),
    (b" \n\r\n\t", [(b" \n\r\n\t", "not_json")]),
    (b'{"a":1}\n\n', [(b'{"a":1}\n\n', {"a": 1})]),
    (b'{"a":1} {"a":2}', [(b'{"a":1} {"a":2}', "not_json")]),
    (b'{"a":1}\r{"a":2}', [(b'{"a":1}\r{"a":2}', "not_json")]),
    (b'\n{"a":1\n', [(b'\n{"a":1\n', "not_json")]),
    (b'\xef\xbb\xbf{"a":1}', [(b'\xef\xbb\xbf{"a":1}', "not_json")]),
    (b"\xff\xff\n\xff", [(b"\xff\xff\n\xff", "not_json")]),
    (b'{"a":"\xed\xa0\x80"}', [(b'{"a":"\xed\xa0\x80"}', "not_json")]),
    (b'{"a":"\xc0\xaf"}', [(b'{"a":"\xc0\xaf"}', "not_json")]),
    ('{"a":1}'.encode("utf-16"), [('{"a":1}'.encode("utf-16"), "not_json")]),
    (b'{"a":1}\x00', [(b'{"a":1}\x00', "not_json")]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), CASES)
def test_split(value: bytes, expected: list[tuple[bytes, Any]]) -> None:
    found = [(raw, event.reason if isinstance(event, Rejected) else event) for raw, event in split(value)]
    assert found == expected


BAD_JSON = [
    "{'a':1}",
    '{"a":1,}',
    '{"a" 1}',
    "{a:1}",
    '{"a":1}}',
    "[1 2]",
    '{"a":tru}',
    '{"a":.5}',
    '{"a":-}',
    '{"a":1e}',
    '{"a":0x1}',
    '{"a":1_000}',
    '{"a":"\t"}',
    '{"a":"\\x"}',
    '{"a":"\\u12"}',
    '{"a":"\\u00_1"}',
    '{"a":"x}',
    '{"a":-Infinity}',
    '{"a":nan}',
    '{"a":"\\ud83d"}',
    '{"a":"\\udE00"}',
    '{"a":"\\uDE00\\ud83d"}',
    '{"a":"\\ud83d\\\\ude00"}',
    '{"a":"\\ud83dx\\ude00"}',
    '{"\\ud83d":1}',
    '{"x":"\\ud83d","x":1}',
    "/*c*/{}",
    "{}//",
    "\ufeff{}",
    "\u00a0{}",
    "{}\f",
    "",
]


@pytest.mark.parametrize("text", BAD_JSON)
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(NotJson):
        load(decode(text.encode()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\\\ud83d"', "\\ud83d"),
        ('"\\\\\\ud83d\\ude00"', "\\😀"),
        ('"\\u0000\\uffff"', "\x00\uffff"),
        ('"\x7f"', "\x7f"),
        ("1.50", Number("1.50")),
        ("-1E+2", Number("-1E+2")),
        ("9" * 256, int("9" * 256)),
        ("9" * 257, LongNumber("9" * 257)),
        ("1." + "0" * 300, LongNumber("1." + "0" * 300)),
        ('{"a":1,"a":2}', {"a": 2}),
    ],
)
def test_what_is_json(text: str, expected: Any) -> None:
    assert load(decode(text.encode())) == expected


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (nested(100), True),
        (nested(101), False),
        ('{"a":' * 99 + "{}" + "}" * 99, True),
        ('{"a":' * 100 + "{}" + "}" * 100, False),
        (f'{{"a":{nested(99)}}}', True),
        (f'{{"a":{nested(100)}}}', False),
        (f'{{"a":{nested(100)},"a":1}}', False),  # also where the last one counts
        (f'[{{"a":{nested(98)}}},1]', True),
        (f'[{{"a":{nested(99)}}},1]', False),
        ('{"a":"' + "[{" * 5000 + '"}', True),
        ('{"a":"\\"' + "[{" * 5000 + '"}', True),
        ("[" + ",".join(["[]"] * 5000) + "]", True),
        ('[{"a":' * 50 + "1" + "}]" * 50, True),
        ('[{"a":' * 51 + "1" + "}]" * 51, False),
        (nested(100_000), False),
        ('{"a":' * 100_000, False),
    ],
)
def test_nesting(text: str, good: bool) -> None:
    reasons = {event.reason for _, event in split(text.encode()) if isinstance(event, Rejected)}
    assert ("not_json" not in reasons) == good


def test_hostile_values_take_linear_time() -> None:
    for value in (b'"' + rb"\"" * 500_000, b"[" * 10**6, b'[{"a":' * 10**5, rb"\ud800" * 10**5, b"[" + b"[]," * 10**5):
        assert [event.reason for _, event in split(value) if isinstance(event, Rejected)] == ["not_json"]


strings = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), strings),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(strings, inner, max_size=3)),
    max_leaves=6,
)
texts = st.builds(
    lambda value, ascii_only, indent: json.dumps(value, ensure_ascii=ascii_only, indent=indent),
    json_values,
    st.booleans(),
    st.sampled_from([None, 1]),
)
spaces = st.text(" \t\r\n", max_size=3)


@given(st.lists(st.tuples(spaces, texts, spaces), min_size=1, max_size=6), spaces, spaces)
def test_an_array_keeps_the_bytes_of_each_element(parts: list[tuple[str, str, str]], before: str, after: str) -> None:
    value = before + "[" + ",".join("".join(part) for part in parts) + "]" + after
    assert [raw for raw, _ in split(value.encode())] == [text.encode() for _, text, _ in parts]


@given(st.lists(st.dictionaries(strings, st.integers()), min_size=2))
def test_lines_keep_their_bytes(objects: list[dict[str, int]]) -> None:
    lines = [json.dumps(one, ensure_ascii=False) for one in objects]
    assert [raw for raw, _ in split("\n".join(lines).encode())] == [line.encode() for line in lines]


def plain(value: Any) -> Any:
    """Numbers with a fraction as floats, as json.loads has them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return float(value.text) if isinstance(value, Number | LongNumber) else value


@given(texts)
def test_what_is_read_is_what_json_reads(text: str) -> None:
    assert plain(load(decode(text.encode()))) == json.loads(text)
