"""Peer: the same count with Bytewax's own `fold_window`, tuned as well as we can.

    python -m benchmarks.peers.fold_window FILE OUT [--key usage|one]

What the tuning is, each measured to help: a batch of lines is one item up to the windowing step; JSON is read by
pydantic's Rust parser; items are plain tuples; nothing is sorted (`ordered=False`); the operator's system clock stands
still, so that no timer is kept for the open windows of every key; the garbage collector, which finds nothing to free
in a stream of tuples, is off.

`--key usage` keys the stream by organisation and category, which is how the operator is meant to be used: state
spreads over workers by key. `--key one` gives it a single key and folds a whole window into one dictionary: faster, but
it can use only one worker. The answer equals ours only on a file without duplicates, late or malformed events: the
operator has no dedupe, and drops what comes later than its wait.
"""

import argparse
import gc
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.operators.windowing import EventClock, TumblingWindower, fold_window
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main
from pydantic_core import from_json

from benchmarks.answers import save_tuples

BATCH_BYTES: Final = {"usage": 16 << 20, "one": 1 << 20}
"""The best of 1, 4, 16 and 32 MiB for each: many keys want many values of one key at a time."""
WINDOW: Final = timedelta(minutes=1)
WAIT: Final = timedelta(minutes=2)
ORIGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)

Total = tuple[int, int]
"""Quantity and events."""
NOTHING: Final = (0, 0)


class Chunks(DynamicSource[bytes]):
    """A file as chunks of whole lines."""

    def __init__(self, path: Path, batch_bytes: int) -> None:
        self.path = path
        self.batch_bytes = batch_bytes

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "ChunkReading":  # noqa: ARG002
        """Return the one worker's reading."""
        return ChunkReading(self.path, self.batch_bytes)


class ChunkReading(StatelessSourcePartition[bytes]):
    """One reading of the file."""

    def __init__(self, path: Path, batch_bytes: int) -> None:
        self.file = path.open("rb")
        self.batch_bytes = batch_bytes

    def next_batch(self) -> list[bytes]:
        """Return the next chunk."""
        chunk = self.file.read(self.batch_bytes)
        if not chunk:
            raise StopIteration
        return [chunk + self.file.readline()]

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class Collected(DynamicSink[Any]):
    """Keeps what comes out."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "Collecting":  # noqa: ARG002
        """Return the one worker's part."""
        return Collecting(self.items)


class Collecting(StatelessSinkPartition[Any]):
    """One worker's part of the sink."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def write_batch(self, items: list[Any]) -> None:
        """Keep the items."""
        self.items += items


def by_usage(chunks: list[bytes]) -> Iterator[tuple[str, tuple[datetime, int]]]:
    """Decode chunks into (organisation|category, (time, quantity))."""
    instant = datetime.fromisoformat
    for chunk in chunks:
        for line in chunk.splitlines():
            event = from_json(line)
            yield f"{event['org_id']}|{event['category']}", (instant(event["timestamp"]), event["quantity"])


def by_one(chunks: list[bytes]) -> Iterator[tuple[str, tuple[datetime, int, str]]]:
    """Decode chunks into items of a single key: (time, quantity, organisation|category)."""
    return (("", (when, quantity, key)) for key, (when, quantity) in by_usage(chunks))


def fold_total(total: Total, value: tuple[datetime, int]) -> Total:
    """Add an event to the total of its key and window."""
    return total[0] + value[1], total[1] + 1


def fold_totals(totals: dict[str, Total], value: tuple[datetime, int, str]) -> dict[str, Total]:
    """Add an event to the totals of its window."""
    quantity, events = totals.get(value[2], NOTHING)
    totals[value[2]] = quantity + value[1], events + 1
    return totals


def never_merged(left: Any, right: Any) -> Any:
    """Tumbling windows never merge."""
    raise AssertionError((left, right))


def totals_by_key(items: Iterable[Any], key: str) -> Iterator[tuple[str, int, Total]]:
    """Return (organisation|category, window number, total) of what the flow gave."""
    for name, (window, folded) in items:
        if key == "usage":
            yield name, window, folded
        else:
            yield from ((inner, window, total) for inner, total in folded.items())


HOW: Final[dict[str, tuple[Any, Any, Any]]] = {
    "usage": (by_usage, lambda: NOTHING, fold_total),
    "one": (by_one, dict, fold_totals),
}
"""By key: how to decode, how a window starts, how an event is added."""


def main() -> None:
    """Count a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.fold_window")
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--key", choices=("usage", "one"), default="usage")
    chosen = parser.parse_args()
    gc.disable()
    clock: EventClock[Any] = EventClock(
        ts_getter=lambda value: value[0],
        wait_for_system_duration=WAIT,
        now_getter=lambda: ORIGIN,
        to_system_utc=lambda _: None,
    )
    windower = TumblingWindower(length=WINDOW, align_to=ORIGIN)
    flow, out = Dataflow("peer"), Collected()
    chunks = op.input("read", flow, Chunks(chosen.file, BATCH_BYTES[chosen.key]))
    decode, builder, folder = HOW[chosen.key]
    events = op.flat_map_batch("decode", chunks, decode)
    windows = fold_window("count", events, clock, windower, builder, folder, never_merged, ordered=False)
    op.output("write", windows.down, out)
    cli_main(flow)  # type: ignore[no-untyped-call]  # Bytewax gives it no signature
    start, length = int(ORIGIN.timestamp()), int(WINDOW.total_seconds())
    keyed = ((name.split("|"), window, total) for name, window, total in totals_by_key(out.items, chosen.key))
    save_tuples(
        chosen.out / "rows.arrow",
        ((int(org), category, start + window * length, *total) for (org, category), window, total in keyed),
    )


if __name__ == "__main__":
    main()
