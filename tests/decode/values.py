"""Random values of records: events of each format, well-formed, nearly well-formed, and broken in every way.

Everything is drawn from one `Random`, many times faster than from Hypothesis's strategies: these bytes need numbers
more than they need shrinking.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Final

Fragment = bytes
"""The JSON text of a value."""
Members = list[tuple[Fragment, Fragment]]
"""An object's members as text: a key (with its quotes) and a value."""

NAMES: Final = ("error", "transaction", "span", "profile_duration_ui", "attachment", "log_byte", "trace_metric_byte")

ODD: Final[tuple[Fragment, ...]] = (
    b"null",
    b"true",
    b"false",
    b"tru",
    b"nul",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"0",
    b"-0",
    b"-1",
    b"00",
    b"01",
    b"7",
    b"38",
    b"39",
    b"1.0",
    b"1.",
    b".5",
    b"1e3",
    b"1E+2",
    b"1e",
    b"1e-",
    b"1E400",
    b"+1",
    b"9007199254740992",
    b"9007199254740993",
    b"99999999",
    b"999999999999999999",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551616",
    b"1" * 200,
    b"1" * 257,
    b"1" * 5000,
    b"0." + b"3" * 300,
    b'""',
    b'"1"',
    b'"error"',
    b'"nothing"',
    b'"profile_duration_xi"',
    b'"\\u0065rror"',
    b'"er\\/ror"',
    b'"\\ud83d\\ude00"',
    b'"\\ud83d"',
    b'"\\ude00\\ud83d"',
    b'"\\ude00\\ude00"',
    b'"\\ud83d\\ud83d\\ude00"',
    b'"\\\\ud83d"',
    b'"\\x"',
    b'"\\u12g4"',
    b'"tab\there"',
    b'"nul\x00here"',
    b'"del\x7fhere"',
    b'"\\u0000"',
    '"grün 東京 😀"'.encode(),
    b'"\xed\xa0\x80"',
    b'"\xc0\x80"',
    b'"\xf4\x90\x80\x80"',
    b'"\xff"',
    b'"\xe2\x82"',
    b'"' + b"x" * 256 + b'"',
    b'"' + b"x" * 257 + b'"',
    ('"' + "é" * 200 + '"').encode(),
    ('"' + "é" * 257 + '"').encode(),
    b"[]",
    b"{}",
    b"[1,]",
    b"[,1]",
    b"[1 2]",
    b"[1 23]",
    b'[""x""]',
    b'{"a":1x"b":2}',
    b'{"a":1,}',
    b'{"a"}',
    b'{"a":1 "b":2}',
    b"{1:2}",
    b'[1,-2.5e+7,"a\\n",[],{},[null,{"deep":[true,false,{"er":null}]}]]',
    b'{ "a" : [ 1 , 2 ] , "b" : { } }',
    b"[" * 50 + b"]" * 50,
    b"[" * 70 + b"]" * 70,
    b"[" * 98 + b"]" * 98,
    b"[" * 99 + b"]" * 99,
    b"[" * 100 + b"]" * 100,
    b"[" * 5000,
    b'{"a":' * 80 + b"1" + b"}" * 80,
    b"[1}",
    b'{"a":1]',
    b"",
    b"}",
    b"'x'",
)

INSTANTS: Final[tuple[str, ...]] = (
    "2026-11-22T10:00:00Z",
    "2026-11-22T10:00:00.1Z",
    "2026-11-22T10:00:00.123Z",
    "2026-11-22T10:00:00.123456Z",
    "2026-11-22T10:00:00.1234567Z",
    "2026-11-22T10:00:00.12345678Z",
    "2026-11-22T10:00:00.123456789Z",
    "2026-11-22T10:00:00.1234567891Z",
    "2026-11-22T10:00:00.Z",
    "2026-11-22T10:00:00+00:00",
    "2026-11-22T10:00:00.5-23:59",
    "2026-11-22T10:00:00+24:00",
    "2026-11-22T10:00:00+05:60",
    "2026-11-22T10:00:00+0530",
    "2026-11-22T10:00:00-00:00",
    "2026-11-22t10:00:00z",
    "2026-11-22 10:00:00Z",
    "2026-11-22T10:00:00",
    "2026-11-22T10:00Z",
    "2026-11-22T24:00:00Z",
    "2026-11-22T23:60:00Z",
    "2026-11-22T23:59:60Z",
    "2024-02-29T00:00:00Z",
    "2026-02-29T00:00:00Z",
    "2000-02-29T00:00:00Z",
    "2026-04-31T00:00:00Z",
    "2026-00-10T00:00:00Z",
    "2026-13-10T00:00:00Z",
    "2026-11-00T00:00:00Z",
    "1999-12-31T23:59:59.999999Z",
    "1999-12-31T23:59:59-00:01",
    "2000-01-01T00:00:00Z",
    "2000-01-01T00:00:00+00:01",
    "2099-12-31T23:59:59.999999999Z",
    "2099-12-31T23:59:59-00:01",
    "2100-01-01T00:00:00Z",
    "2100-01-01T00:30:00+01:00",
    "9999-12-31T23:59:59Z",
    "0000-01-01T00:00:00Z",
    "２026-11-22T10:00:00Z",
    "2026-11-22T10:00:00Z ",
)

SPACES: Final = (b"", b"", b"", b" ", b"\n", b"\r\n", b"\t", b"  ")
LETTERS: Final = 'abcxyz019 _-/"\\{}[]:,é東😀\n\x00\x7f\u2028'


def text(value: object) -> Fragment:
    return json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")


def word(chance: Random, most: int = 12) -> str:
    return "".join(chance.choices(LETTERS, k=chance.randint(0, most)))


def hexadecimal(chance: Random, most: int = 32) -> str:
    return "".join(chance.choices("0123456789abcdef", k=most))


def event_id(chance: Random) -> str:
    kind = chance.randrange(8)
    if kind == 0:
        return word(chance)
    return hexadecimal(chance) if kind < 5 else hexadecimal(chance, chance.randint(1, 60))


def instant(chance: Random) -> Fragment:
    kind = chance.randrange(8)
    if kind == 0:
        return text(chance.choice(INSTANTS))
    if kind == 1:
        return text(f"{chance.randint(1995, 2105)}-{chance.randint(0, 13):02}-{chance.randint(0, 32):02}T10:00:00Z")
    when = datetime(2000, 1, 1) + timedelta(microseconds=chance.randrange(100 * 365 * 86_400 * 10**6))  # noqa: DTZ001
    zone = "Z" if kind < 7 else f"{chance.choice('+-')}{chance.randrange(25):02}:{chance.choice([0, 30, 59, 60]):02}"
    return text(when.isoformat(timespec=chance.choice(["seconds", "milliseconds", "microseconds"])) + zone)


def number(chance: Random) -> int:
    kind = chance.randrange(24)
    if kind == 0:
        return chance.choice([0, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 10**8, 10**17, 10**18 - 1, 10**18, -1])
    return chance.randrange(10 ** chance.randint(1, 19 if kind == 1 else 7))


def scalar(chance: Random) -> Fragment:
    kind = chance.randrange(6)
    if kind == 0:
        return chance.choice(ODD)
    return text(
        [word(chance), hexadecimal(chance, 3), number(chance), chance.random() < 0.5, chance.random()][kind - 1]
    )


def attributes(chance: Random, odd: bool) -> Fragment:
    members = []
    for _ in range(chance.randrange(5)):
        name = text(chance.choice(["region", "plan", "größe", 'a"b', "other", "other2"]))
        plain = text(chance.choice(["eu", "us", "größer", "", "日本", 7, 0, 40, True, False, "x" * 40]))
        space = chance.choice(SPACES) if odd else b""
        members.append(name + space + b":" + space + (scalar(chance) if odd and chance.random() < 0.5 else plain))
    return b"{" + b",".join(members) + b"}"


def json_value(chance: Random, depth: int = 0) -> Fragment:
    kind = chance.randrange(8)
    if kind < 3 or depth > 4:
        return scalar(chance) if depth == 0 or chance.random() < 0.2 else text(chance.choice([None, True, 1.5, 7, "x"]))
    items = [json_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    space = chance.choice(SPACES)
    if kind < 6:
        return b"[" + space + (space + b"," + space).join(items) + space + b"]"
    return b"{" + space + b",".join(text(word(chance)) + space + b":" + space + item for item in items) + space + b"}"


def tally_members(chance: Random) -> Members:
    members = [
        (b'"event_id"', text(event_id(chance))),
        (b'"org_id"', text(number(chance))),
        (b'"project_id"', text(number(chance))),
        (b'"category"', text(chance.choice(NAMES))),
        (b'"quantity"', text(number(chance))),
        (b'"timestamp"', instant(chance)),
    ]
    if chance.random() < 0.3:
        members.append((b'"source"', text(word(chance))))
    if chance.random() < 0.4:
        members.append((b'"attributes"', attributes(chance, chance.random() < 0.4)))
    return members


def outcome_members(chance: Random) -> Members:
    outcome = 0 if chance.random() < 0.5 else chance.randrange(chance.choice([8, 300]))
    members = [(b'"timestamp"', instant(chance)), (b'"outcome"', text(outcome))]
    optional: Sequence[tuple[Fragment, Callable[[], object]]] = (
        (b'"org_id"', lambda: number(chance)),
        (b'"project_id"', lambda: number(chance)),
        (b'"key_id"', lambda: number(chance)),
        (b'"reason"', lambda: word(chance)),
        (b'"event_id"', lambda: event_id(chance)),
        (b'"category"', lambda: chance.randrange(41)),
        (b'"quantity"', lambda: number(chance)),
    )
    for key, draw in optional:
        kind = chance.randrange(5)
        if kind:
            members.append((key, b"null" if kind == 1 else text(draw())))
    return members


def cloud_members(chance: Random) -> Members:
    data = [(b'"quantity"', text(number(chance))), (b'"project_id"', text(number(chance)))]
    if chance.random() < 0.5:
        data.append((b'"region"', scalar(chance)))
    return [
        (b'"specversion"', b'"1.0"'),
        (b'"type"', text(chance.choice(NAMES))),
        (b'"source"', text(event_id(chance))),
        (b'"id"', text(event_id(chance))),
        (b'"subject"', text(str(number(chance)))),
        (b'"time"', instant(chance)),
        (b'"data"', b"{" + b",".join(key + b":" + value for key, value in data) + b"}"),
    ]


MEMBERS: Final = {"tally": tally_members, "sentry-outcomes": outcome_members, "cloudevents": cloud_members}


def fragment(chance: Random) -> Fragment:
    kind = chance.randrange(5)
    if kind == 0:
        return attributes(chance, True)
    if kind == 1:
        return instant(chance)
    return chance.choice(ODD) if kind == 2 else scalar(chance)


def event(chance: Random, name: str, calm: bool = False) -> bytes:
    """An event of that format: with a member or two changed half of the time, but for a calm one."""
    members = MEMBERS[name](chance)
    for _ in range(0 if calm else chance.choice([0, 0, 0, 1, 1, 2])):
        if not members:
            break
        place = chance.randrange(len(members))
        key, value = members[place]
        kind = chance.randrange(8)
        if kind == 0:
            del members[place]
        elif kind == 1:
            members.insert(chance.randint(0, len(members)), (key, chance.choice([fragment(chance), value])))
        elif kind in {2, 3, 4}:
            members[place] = (key, fragment(chance))
        elif kind == 5:
            members.append((chance.choice([text(word(chance)), chance.choice(ODD)]), fragment(chance)))
        elif kind == 6:
            escaped = b'"\\u%04x' % key[1] + key[2:] if len(key) > 2 else key
            members[place] = (chance.choice([escaped, key[:-2] + b'"', key[:-1] + b'x"', key.upper()]), value)
        else:
            members.append((b'"extra"', json_value(chance)))
    if chance.random() < 0.3:
        chance.shuffle(members)
    gaps = not calm and chance.random() < 0.3
    out = [b"{"]
    for place, (key, value) in enumerate(members):
        for part in (b"," if place else b"", key, b":", value):
            out += [part, chance.choice(SPACES) if gaps else b""]
    return b"".join([*out, b"}"])


def broken(chance: Random, value: bytes) -> bytes:
    """A value with bytes changed, taken away or put in, or cut short."""
    if not value:
        return value
    at = chance.randrange(len(value))
    some = chance.choice(
        [chance.randbytes(chance.randint(1, 3)), b'"', b"\\", b"{", b"}", b",", b" ", b"0", b":", b"]"]
    )
    kind = chance.randrange(5)
    if kind == 0:
        return value[:at]
    if kind == 1:
        return value[:at] + some + value[at:]
    if kind == 2:
        return value[:at] + some + value[at + len(some) :]
    if kind == 3:
        return value[:at] + value[at + chance.randint(1, 5) :]
    return value + some


def record(chance: Random, name: str) -> bytes:
    """A record's value: one event, an array or lines of them, or hardly anything like that."""
    kind = chance.randrange(16)
    if kind == 0:
        return chance.randbytes(chance.randrange(40))
    if kind == 1:
        return json_value(chance)
    if kind < 9:
        value = event(chance, name)
    else:
        odd, calm = chance.random() < 0.3, chance.random() < 0.5
        items = [
            fragment(chance) if odd and chance.random() < 0.3 else event(chance, name, calm)
            for _ in range(chance.randrange(5))
        ]
        if kind < 12:
            space = chance.choice(SPACES)
            value = b"[" + space + (space + b"," + space).join(items) + space + b"]"
        else:
            joints = [b"\n", b"\n", b"\n", b"\r\n", b"\n\n", b" \n\t", b"\r", b"", b" ", b"\n\r", b"\n\x0b\n"]
            value = chance.choice(joints).join(items)
    if chance.random() < 0.3:
        value = chance.choice(SPACES) + value + chance.choice(SPACES)
    return broken(chance, value) if chance.random() < 0.2 else value
