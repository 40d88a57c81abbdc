"""One typed way to compile a function to machine code."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call for the types it is given; later processes load it from a cache.

    Integer arithmetic wraps as in C; no fast-math, since no float is near. The GIL is released while it runs.
    """
    wrapped: Callable[P, R] = numba.njit(cache=True, nogil=True)(function)
    return wrapped
