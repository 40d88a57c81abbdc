"""Small seeded files of native events with every kind of trouble, for runs that are judged by the oracle."""

import json
import random
from pathlib import Path
from typing import Any

SECOND = 1_000_000


def _broken(**changed: Any) -> bytes:
    whole = {"event_id": "x", "org_id": 1, "project_id": 1, "category": "error", "quantity": 1}
    return json.dumps({**whole, "timestamp": "2026-11-01T00:00:00Z", **changed}).encode()


BROKEN = (
    b"{",
    b"[1, 2",
    b"17",
    b'"text"',
    b"\xff\xfe not utf-8",
    b'{"event_id": "x"}',
    _broken(event_id=5),
    _broken(category="nope"),
    _broken(quantity=-1),
    _broken(timestamp="yesterday"),
)


def timestamp(seconds: int, millis: int = 0) -> str:
    """Return an instant of November 2026, `seconds` after its start."""
    day, rest = divmod(seconds, 86_400)
    return f"2026-11-{day + 1:02}T{rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}.{millis:03}Z"


def event(chance: random.Random, number: int, now: int, log: str) -> dict[str, Any]:
    late = chance.random() < 0.05
    at = max(0, now - (chance.randrange(300, 4000) if late else chance.randrange(0, 100)))
    return {
        "event_id": f"{log}-{number}",
        "org_id": chance.choice([1, 1, 1, 2, 3, 42]),
        "project_id": chance.randrange(3),
        "category": chance.choice(["error", "span", "transaction", "attachment"]),
        "quantity": chance.choice([0, 1, 1, 5, 1000, 2**40]),
        "timestamp": timestamp(at, chance.randrange(1000)),
    }


def attributes_of(number: int) -> dict[str, Any]:
    """Return attributes that go with an event's number: a user, at times none, and a price, at times no number."""
    user = {} if number % 11 == 0 else {"user": f"u{number % 17}"}
    price = "12,50" if number % 23 == 0 else f"{number % 7}.{number % 100:02}" if number % 2 else number % 1000
    return {**user, "price": price, "region": "eu"}


def write_log(path: Path, events: int, seed: int = 0, *, attributes: bool = False) -> None:
    """Write about `events` events, one a line: some repeated, in conflict, malformed, late, or several a line."""
    chance = random.Random(f"{seed}/{path.name}")
    recent: list[dict[str, Any]] = []
    lines: list[bytes] = []
    now = 3600
    for number in range(events):
        now += chance.choice([0, 0, 1, 1, 2, 7])
        if chance.random() < 0.02:
            lines.append(chance.choice(BROKEN))
        made = event(chance, number, now, path.name)
        if attributes:
            made["attributes"] = attributes_of(number)
        if recent and chance.random() < 0.05:
            made = dict(chance.choice(recent))
            if chance.random() < 0.3:
                made["quantity"] += 1
            elif attributes and chance.random() < 0.3:
                made["attributes"] = attributes_of(number)
        recent = [*recent[-40:], made]
        if chance.random() < 0.03:
            lines.append(json.dumps([made, event(chance, events + number, now, path.name)]).encode())
        elif chance.random() < 0.01:
            lines.append(b"")
        else:
            lines.append(json.dumps(made).encode())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(lines) + b"\n")
