"""Dead letters, read from a store: which there are, one in full, and in pages that fit in memory."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

from schemas.errors import SettingsError
from schemas.log import LogId
from schemas.verdicts import MAX_RAW_BYTES, REASONS
from sinks.store import Store
from tally.positions import Position

PAGE_LETTERS: Final = 2_000
PAGE_BYTES: Final = 32 << 20
"""What is held in memory at once: this many letters, and of their bytes about this much (one letter at least)."""

KEY: Final = {"topic": "String", "partition": "String", "offset": "UInt64", "index": "UInt32"}
"""The key columns of dead letters and of replays, with their types."""
KEYS: Final = ", ".join(KEY)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant: those at any of `positions`, of the topic, partition and reasons given; empty: all."""

    positions: tuple[Position, ...] = ()
    topic: str | None = None
    partition: str | None = None
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise SettingsError for a reason that no letter can have."""
        for reason in self.reasons:
            if reason not in REASONS:
                raise SettingsError(f"--reason {reason!r}: no such reason; there are {', '.join(REASONS)}")

    def letters(self) -> tuple[str, dict[str, Any]]:
        """Return a subquery of the selected letters, and its parameters. Below FINAL it filters on key columns only."""
        wanted, parameters = [], dict[str, Any]()
        if self.topic is not None:
            wanted.append("topic = {topic:String}")
            parameters["topic"] = self.topic
        if self.partition is not None:
            wanted.append("partition = {partition:String}")
            parameters["partition"] = self.partition
        places = []
        for number, at in enumerate(self.positions):
            whole = dict(zip(KEY, (at.log.topic, at.log.partition, at.offset, at.index), strict=True))
            given = {name: value for name, value in whole.items() if value is not None}
            placed = " AND ".join(f"{name} = {{at{number}_{name}:{KEY[name]}}}" for name in given)
            places.append(f"({placed})")
            parameters |= {f"at{number}_{name}": value for name, value in given.items()}
        if places:
            wanted.append(f"({' OR '.join(places)})")
        where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
        reasons = ""
        if self.reasons:
            reasons = " WHERE reason IN {reasons:Array(String)}"
            parameters["reasons"] = list(self.reasons)
        return f"(SELECT * FROM (SELECT * FROM active_letters{where}){reasons})", parameters


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as the store has it; `clock` in microseconds UTC. `raw` is b"" where it was not asked for."""

    topic: str
    partition: str
    offset: int
    index: int
    reason: str
    detail: str
    format: str
    generation: int
    clock: int | None
    raw_size: int
    raw: bytes = b""

    @property
    def log(self) -> LogId:
        """Return the letter's partition log."""
        return LogId(self.topic, self.partition)

    @property
    def position(self) -> Position:
        """Return the event's position."""
        return Position(self.log, self.offset, self.index)

    @property
    def cut(self) -> bool:
        """Say whether the store has only the beginning of the event's bytes."""
        return self.raw_size > MAX_RAW_BYTES


def count_by_reason(store: Store, selection: Selection) -> dict[str, int]:
    """Return how many letters were selected, by reason, the most frequent first."""
    letters, parameters = selection.letters()
    found = store.query(
        f"SELECT reason, count() AS n FROM {letters} GROUP BY reason ORDER BY n DESC, reason", parameters
    )
    return {row[0]: int(row[1]) for row in found}


def read_pages(store: Store, selection: Selection, *, raw: bool) -> Iterator[list[Letter]]:
    """Yield the selected letters in the order of their positions, a page that fits in memory at a time."""
    letters, parameters = selection.letters()
    names = [field.name for field in fields(Letter) if raw or field.name != "raw"]
    shown = ", ".join("toUnixTimestamp64Micro(clock)" if name == "clock" else name for name in names)
    after: tuple[Any, ...] | None = None
    while True:
        beyond, bound = "", dict(parameters)
        if after is not None:
            beyond = f" WHERE ({KEYS}) > ({bounds_of('after')})"
            bound |= {f"after_{name}": value for name, value in zip(KEY, after, strict=True)}
        tail = f"FROM {letters}{beyond} ORDER BY {KEYS} LIMIT"
        sizes = store.query(f"SELECT {KEYS}, raw_size {tail} {PAGE_LETTERS}", bound)
        count, size = 0, 0
        while count < len(sizes) and (count == 0 or size < PAGE_BYTES or not raw):
            size += min(int(sizes[count][4]), MAX_RAW_BYTES)
            count += 1
        if count:
            rows = store.query(f"SELECT {shown} {tail} {count}", bound, raw=["raw"] if raw else [])
            yield [Letter(*row) for row in rows]
            after = tuple(sizes[count - 1][:4])
        if count == len(sizes) < PAGE_LETTERS:
            return


def bounds_of(name: str) -> str:
    """Return the parameters `NAME_topic` to `NAME_index`, to be compared with the key."""
    return ", ".join(f"{{{name}_{column}:{kind}}}" for column, kind in KEY.items())
