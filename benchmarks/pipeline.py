"""The flow's steps without its engine and its store: how fast a file is read, decoded and metered, step by step.

    python -m benchmarks.pipeline FILE OUT

Leaves the rows in OUT/rows.arrow and the CPU seconds of every step in OUT/steps.json.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from benchmarks.answers import save
from dataflows.decode import Decoder
from dataflows.meter import Meter
from dataflows.plan import list_sources, make_plan
from dataflows.sources.base import wall_clock
from schemas.log import LogId
from schemas.metering import MICROSECONDS
from schemas.progress import Progress
from schemas.usage import UsageRows
from tally.settings import load_settings
from tally.sources import open_sources
from tally.wiring import keep_large_buffers

ROW_KEY: Final = ("org", "category", "project", "dimensions", "window_start", "segment")


class NothingStored:
    """A store that has never seen a run."""

    def progress(self) -> Mapping[LogId, Progress]:
        """Return no progress."""
        return {}

    def retired_topics(self) -> set[str]:
        """Return no topics."""
        return set()

    def rows_past_progress(self, log: LogId, generation: int, next_offset: int) -> bool:  # noqa: ARG002
        """Say that no row is there."""
        return False


class Stopwatch:
    """CPU seconds by step: other processes on the core change them less than the time on the wall."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Add the time spent inside to a step."""
        start = time.process_time()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.process_time() - start


def meter_file(path: Path, watch: Stopwatch) -> list[UsageRows]:
    """Meter a file as `tally run` would with its default settings; return every flush's rows."""
    settings = load_settings(sources=[str(path)])
    meter_settings = settings.meter_settings()
    decode = Decoder(meter_settings)
    listings = list_sources(open_sources(settings, wall_clock, lambda _: None), wall_clock)
    (planned,) = make_plan(listings, meter_settings, NothingStored()).logs
    meter = Meter(meter_settings, planned.progress, broker_clock=planned.source.broker_clock)
    reader = planned.source.open({planned.progress.log: planned.progress.mark.warm_offset})
    flushed: list[UsageRows] = []
    flushed_at = wall_clock()
    while not reader.exhausted:
        with watch("read"):
            batches = reader.poll()
        for batch in batches:
            with watch("decode"):
                events = decode(batch)
            with watch("meter"):
                meter.add(events)
        if reader.exhausted or wall_clock() - flushed_at >= settings.flush_interval:
            with watch("flush"):
                flushed.append(meter.flush().rows)
            flushed_at = wall_clock()
    reader.close()
    return flushed


def final_rows(flushed: Sequence[UsageRows]) -> pa.Table:
    """Return the last total of every row key, as rows of an answer.

    Totals of a key only grow from flush to flush, so its last one is its largest.
    """
    kept = (*ROW_KEY, "quantity", "events")
    tables = [pa.table({name: getattr(rows, name) for name in kept}) for rows in flushed]
    names = flushed[0].category_names
    last = pa.concat_tables(tables).group_by(list(ROW_KEY)).aggregate([("quantity", "max"), ("events", "max")])
    return pa.table(
        {
            "org_id": last["org"],
            "category": pa.array(np.array(names, dtype=object)[last["category"].to_numpy()], pa.string()),
            "window_start": last["window_start"].to_numpy() // MICROSECONDS,
            "quantity": last["quantity_max"],
            "events": last["events_max"],
        }
    )


def main() -> None:
    """Meter a file and leave what came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline")
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    keep_large_buffers()
    watch = Stopwatch()
    flushed = meter_file(chosen.file, watch)
    save(chosen.out / "rows.arrow", final_rows(flushed))
    (chosen.out / "steps.json").write_text(json.dumps(watch.seconds))


if __name__ == "__main__":
    main()
