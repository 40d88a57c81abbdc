"""What every law is given: the store, the bounds, and how to say how far it is."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar

from schemas.errors import SettingsError
from sinks.store import Store

T = TypeVar("T")

SECOND: Final = 1_000_000
_LAST_SECOND: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: windows that start in [start, end), microseconds UTC, and the logs of one topic; None: all."""

    start: int | None = None
    end: int | None = None
    topic: str | None = None

    def __post_init__(self) -> None:
        """Raise SettingsError for bounds between which nothing can lie."""
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise SettingsError("--to is not after --from: it is the first instant that is no longer asked for")

    def windows(self, column: str) -> tuple[list[str], dict[str, Any]]:
        """Return conditions on a DateTime column, a key column of its table, and their parameters."""
        conditions, parameters = [], dict[str, Any]()
        for name, sign, bound in (("start", ">=", self.start), ("end", "<", self.end)):
            if bound is not None:
                conditions.append(f"{column} {sign} toDateTime({{{name}:UInt32}}, 'UTC')")
                parameters[name] = max(0, min(_LAST_SECOND, -(-bound // SECOND)))
        return conditions, parameters

    def within(self, seconds: int) -> "Asked | None":
        """Return the same, cut to whole units of so many seconds that lie inside the bounds; None where none does."""
        unit = seconds * SECOND
        start = None if self.start is None else -(-self.start // unit) * unit
        end = None if self.end is None else self.end // unit * unit
        if start is not None and end is not None and end <= start:
            return None
        return Asked(start, end, self.topic)

    def topics(self) -> tuple[list[str], dict[str, Any]]:
        """Return the condition on `topic`, a key column everywhere, and its parameter."""
        return ([], {}) if self.topic is None else (["topic = {topic:String}"], {"topic": self.topic})


def where(*conditions: Sequence[str]) -> str:
    """Return a WHERE clause of all conditions, '' without any."""
    every = [one for group in conditions for one in group]
    return f"WHERE {' AND '.join(every)}" if every else ""


@dataclass(frozen=True, slots=True)
class Asking:
    """A store that is asked, what is asked of it, and `on_step`, told of each step in a few words.

    `at` is the instant of the run and `window` the length of a usage window, in microseconds.
    """

    store: Store
    asked: Asked
    at: int
    window: int = 60 * SECOND
    on_step: Callable[[str], None] = lambda _: None


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most `size`."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some
