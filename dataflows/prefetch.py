"""Ask the processor for memory ahead of its use: a random look into a large table costs more than all the rest."""

from typing import Any, Final

from llvmlite import ir  # type: ignore[import-untyped]  # ships no type information
from numba import types
from numba.extending import intrinsic

from dataflows.compiled import compiled

AHEAD: Final = 16
"""Events between the request and the use: long enough for memory to answer, short enough to be still cached then."""

_FOR_WRITING: Final = 1
_KEEP_IN_ALL_CACHES: Final = 3
_DATA: Final = 1


def _prefetching(typing_context: Any, address: Any) -> Any:
    """Emit the instruction; a wrong address does nothing."""
    del typing_context

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        del signature
        byte = ir.IntType(8).as_pointer()
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        constants = [ir.Constant(number, value) for value in (_FOR_WRITING, _KEEP_IN_ALL_CACHES, _DATA)]
        builder.call(function, [builder.inttoptr(args[0], byte), *constants])
        return context.get_dummy_value()

    return types.void(address), emit


_prefetch: Any = intrinsic(_prefetching)


@compiled
def prefetch(address: int) -> None:
    """Ask for the cache line at an address."""
    _prefetch(address)
