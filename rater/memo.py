"""Answers kept for the objects that they are about: a pure function's, so that nothing but time depends on them."""

from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

SIZE: Final = 1024


class Memo(Generic[T]):
    """At most `SIZE` answers, by the identity of some objects and an equal rest; when full it begins anew.

    The objects are held, so that an identity is not another object's as long as the answer is kept.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[tuple[object, ...], T]] = {}

    def get(self, about: tuple[object, ...], rest: Hashable, make: Callable[[], T]) -> T:
        """Return the answer, from `make` where it is not kept."""
        key = (*map(id, about), rest)
        found = self._kept.get(key)
        if found is None:
            found = (about, make())
            if len(self._kept) >= SIZE:
                self._kept.clear()
            self._kept[key] = found
        return found[1]
