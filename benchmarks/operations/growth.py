"""One meter, filled: how much memory its process grows by, and what its arrays hold. A process of its own.

python -m benchmarks.operations.growth ids 2000000      distinct event ids, all within the dedupe horizon
python -m benchmarks.operations.growth rows 1000000     distinct organisations in one open window, without ids

Prints JSON: what there is of it, bytes of the arrays (at the end, and a piece at the worst moment), growth of the RSS.
"""

import argparse
import ctypes
import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from dataflows.decode import Decoder
from dataflows.meter import Meter
from schemas.catalogue import load_catalogue
from schemas.log import LogId, RecordBatch
from schemas.metering import MeterSettings
from schemas.progress import Mark, Progress

LOG: Final = LogId("growth", "0")
CHUNK: Final = 50_000
SETTLED: Final = 4
"""The worst moment is looked for once a quarter of it all is there: the first sizes are fixed."""
FORMATS: Final = {"ids": "tally", "rows": "sentry-outcomes"}


def event(what: str, number: int) -> bytes:
    """Return an event that adds one of `what`."""
    at = b"2026-11-01T12:00:00Z"
    if what == "ids":
        return b'{"event_id":"event-%d","org_id":1,"project_id":1,"category":"error","quantity":1,"timestamp":"%s"}' % (
            number,
            at,
        )
    return b'{"org_id":%d,"project_id":1,"category":1,"quantity":1,"outcome":0,"timestamp":"%s"}' % (number, at)


def batches(what: str, count: int) -> Iterator[RecordBatch]:
    """Return that many events, a record each, as a file's."""
    offset = 0
    for first in range(0, count, CHUNK):
        values = [event(what, number) for number in range(first, min(first + CHUNK, count))]
        ends = np.cumsum([len(value) for value in values]).astype(np.int64)
        starts = np.concatenate(([0], ends[:-1])).astype(np.int64)
        next_offset = offset + int(ends[-1])
        yield RecordBatch(LOG, b"".join(values), starts, ends, starts + offset, None, next_offset)
        offset = next_offset


def new_meter(settings: MeterSettings) -> Meter:
    """Return a meter at the start of a log."""
    progress = Progress(LOG, 1, settings.fingerprint(), 0, 0, Mark(0, None, None, 0), finite=True)
    return Meter(settings, progress, broker_clock=False)


def resident() -> int:
    """Return the bytes of this process that are in memory, with what was freed given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def array_bytes(what: str, meter: Meter) -> int:
    """Return the bytes of the arrays that grow."""
    rows = meter._rows
    return meter.index_bytes if what == "ids" else rows.keys.nbytes + rows.values.nbytes + rows.slots.nbytes


def main() -> None:
    """Fill a meter and print what it took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operations.growth")
    parser.add_argument("what", choices=sorted(FORMATS))
    parser.add_argument("count", type=int)
    chosen = parser.parse_args()
    settings = MeterSettings(load_catalogue(), format=FORMATS[chosen.what])
    decode = Decoder(settings)
    for batch in batches(chosen.what, CHUNK):  # so that the code is compiled, and the buffers have their size
        new_meter(settings).add(decode(batch))
    meter = new_meter(settings)
    before, worst = resident(), 0.0
    for batch in batches(chosen.what, chosen.count):
        meter.add(decode(batch))
        held = meter.index_ids if chosen.what == "ids" else meter.open_rows
        if held >= chosen.count / SETTLED:
            worst = max(worst, array_bytes(chosen.what, meter) / held)
    after = resident()
    held = meter.index_ids if chosen.what == "ids" else meter.open_rows
    assert held == chosen.count, f"{held} of {chosen.count}"
    print(
        json.dumps(
            {"count": held, "array_bytes": array_bytes(chosen.what, meter), "worst": worst, "rss": after - before}
        )
    )


if __name__ == "__main__":
    main()
