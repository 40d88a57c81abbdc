"""The tables of remeters: which generations each is about, what was decided of it, and a candidate's own rows.

A remeter's candidate counts from the moment at which the row that says `active` is there, and what it replaces no
longer: see schemas/sql/0010_remeters.sql. Every write may be repeated and changes nothing then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from schemas.log import LogId
from schemas.progress import Progress
from schemas.usage import Flush
from sinks.columns import TEXT, U32, U64, Layout, build
from sinks.progress_rows import dead_letter_table, progress_of_any, progress_table, read_progress
from sinks.store import Store

COUNTS: Final = "(topic, partition, generation) NOT IN (SELECT topic, partition, generation FROM hidden_generations)"
"""The condition that a row of usage_windows or progress counts: on key columns, so that it may be asked below FINAL."""

Role: TypeAlias = Literal["candidate", "replaced", "covered"]
Word: TypeAlias = Literal["made", "active", "undone", "dropped"]

PARTS: Final[Layout] = {
    "remeter": TEXT,
    "topic": TEXT,
    "partition": TEXT,
    "generation": U32,
    "role": TEXT,
    "noted_at": U64,
}
DECISIONS: Final[Layout] = {"remeter": TEXT, "decided_at": U64, "decision": TEXT, "decided_by": TEXT}


@dataclass(frozen=True, slots=True)
class Part:
    """What a generation of a log is to a remeter: its candidate, replaced by it, or covered (hidden already)."""

    remeter: str
    log: LogId
    generation: int
    role: Role


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided of a remeter; `decided_at` in microseconds UTC."""

    remeter: str
    decided_at: int
    decision: Word
    decided_by: str


def write_parts(store: Store, parts: Iterable[Part], noted_at: int) -> None:
    """Note what generations are to a remeter. Before the first row of a candidate: it is hidden from then on."""
    rows = (
        {
            "remeter": part.remeter,
            "topic": part.log.topic,
            "partition": part.log.partition,
            "generation": part.generation,
            "role": part.role,
            "noted_at": noted_at,
        }
        for part in parts
    )
    store.insert("remeter_parts", build("remeter_parts", PARTS, rows))


def read_parts(store: Store, remeter: str | None = None, topics: Iterable[str] | None = None) -> list[Part]:
    """Return the parts of one remeter or of all, of all logs or those of some topics."""
    conditions, parameters = [], dict[str, object]()
    if remeter is not None:
        conditions.append("remeter = {remeter:String}")
        parameters["remeter"] = remeter
    if topics is not None:
        conditions.append("topic IN {topics:Array(String)}")
        parameters["topics"] = sorted(topics)
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    rows = store.query(
        f"SELECT remeter, topic, partition, generation, role FROM (SELECT * FROM remeter_parts FINAL) {where}"
        "ORDER BY remeter, topic, partition, generation",
        parameters,
    )
    return [Part(row[0], LogId(row[1], row[2]), row[3], row[4]) for row in rows]


def decide(store: Store, remeter: str, word: Word, at: int, by: str) -> Decision:
    """Write down one decision, the row that switches, and return it. It is dated after the last one in any case.

    A clock that is behind the one that dated the last decision would otherwise decide nothing.
    """
    last = max((one.decided_at for one in read_decisions(store, remeter)), default=0)
    made = Decision(remeter, max(at, last + 1), word, by)
    row = {name: getattr(made, name) for name in DECISIONS}
    store.insert("remeter_decisions", build("remeter_decisions", DECISIONS, [row]))
    return made


def read_decisions(store: Store, remeter: str | None = None) -> list[Decision]:
    """Return the decisions on one remeter or on all, the oldest first."""
    where = "" if remeter is None else "WHERE remeter = {remeter:String} "
    rows = store.query(
        f"SELECT remeter, decided_at, decision, decided_by FROM remeter_decisions FINAL {where}"
        "ORDER BY decided_at, remeter",
        None if remeter is None else {"remeter": remeter},
    )
    return [Decision(*row) for row in rows]


def progress_of_every_generation(store: Store, topic: str) -> list[Progress]:
    """Return the last progress of every generation of a topic's logs, of those that do not count too."""
    return [
        read_progress(row) for row in store.query(progress_of_any("WHERE topic = {topic:String}"), {"topic": topic})
    ]


def write_candidate(store: Store, flushes: Sequence[Flush]) -> None:
    """Write flushes of candidates: usage rows, then their letters apart from the dead letters, then progress.

    While the store is away this waits as its `retrying` says. Raises StoreError where a value does not fit its column.
    """
    progress_table(flushes)  # built first: a progress row that does not fit leaves no usage rows past it
    letters = dead_letter_table(flushes)

    def write() -> None:
        store.write_usage(flushes)
        store.insert("remetered_letters", letters)
        store.write_progress(flushes)

    store.retrying.run(write, what="writing a candidate")
