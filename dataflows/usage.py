"""The usage flow: partition logs in, usage rows out.

    read ──► decode ──► meter ──► write

One process reads everything with `tally run`. A cluster runs one process a core, all with the same settings:

    python -m bytewax.run "dataflows.usage:flow()" -i 0 -a "host0:2101;host1:2101"
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Final

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource
from bytewax.outputs import DynamicSink

from dataflows.metering import Meters
from dataflows.reading import Item, Opened, Tick
from schemas.log import EventBatch
from schemas.usage import Flush

NAME: Final = "usage"


@dataclass(frozen=True)
class Parts:
    """What the flow is made of: a source of items, a decoder, a worker's meters, and a sink."""

    read: DynamicSource[Item]
    decode: Callable[[Item], Opened | EventBatch | Tick]
    meter: Meters
    write: DynamicSink[tuple[Flush, ...]]


def usage_flow(parts: Parts) -> Dataflow:
    """Return the flow over its parts."""
    flow = Dataflow(NAME)
    items = op.input("read", flow, parts.read)
    events = op.map("decode", items, parts.decode)
    flushes = op.flat_map_batch("meter", events, parts.meter)
    op.output("write", flushes, parts.write)
    return flow


def flow() -> Dataflow:
    """Return the flow as the settings say: the entry point of `python -m bytewax.run`."""
    (wired,) = entry_points(group="tally.flow", name=NAME)
    parts: Parts = wired.load()()
    return usage_flow(parts)
