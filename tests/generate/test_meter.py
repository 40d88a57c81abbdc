"""The flow's own decoder and meter, over files of a realistic size, come to what the generator expects of them."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from dataflows.decode import Decoder
from dataflows.meter import Meter
from dataflows.sources.base import ListedLog
from dataflows.sources.files import FileSource
from schemas.catalogue import load_catalogue
from schemas.metering import MeterSettings
from schemas.progress import Counts, Mark, Progress
from tally.generate import TrafficSpec, generate_folder
from tally.generate.spec import DAY, DEFAULT_START, Format

Row = tuple[int, str, int, int, int]
"""Organisation, category, start of the window, quantity, events."""


def metered(path: Path, settings: MeterSettings) -> tuple[dict[str, Counts], list[Row]]:
    """Meter a folder's files; return the counts by partition and the usage rows."""
    counts: dict[str, Counts] = {}
    rows: dict[tuple[int, ...], tuple[int, int]] = {}
    names = settings.catalogue.names
    source = FileSource(path, batch_bytes=1 << 18)
    for number, listed in enumerate(source.list_logs()):
        meter = Meter(settings, fresh(listed, settings), broker_clock=False)
        decode = Decoder(settings)
        reader = source.open({listed.log: listed.log_start})
        while not reader.exhausted:
            for batch in reader.poll():
                meter.add(decode(batch))
            flush = meter.flush()
            found = flush.rows
            keys = zip(found.org.tolist(), found.category.tolist(), found.window_start.tolist(), strict=True)
            totals = zip(found.segment.tolist(), found.quantity.tolist(), found.events.tolist(), strict=True)
            for key, (segment, quantity, events) in zip(keys, totals, strict=True):
                rows[(number, *key, segment)] = (quantity, events)
        reader.close()
        counts[listed.log.partition] = meter.progress.counts
    return counts, [(org, names[category], window, *totals) for (_, org, category, window, _), totals in rows.items()]


def fresh(listed: ListedLog, settings: MeterSettings) -> Progress:
    first = listed.log_start
    return Progress(
        log=listed.log,
        generation=1,
        fingerprint=settings.fingerprint(),
        start_offset=first,
        next_offset=first,
        mark=Mark(first, None, None, first),
    )


@pytest.mark.parametrize("per_record", [1, 20])
@pytest.mark.parametrize("form", ["tally", "sentry-outcomes", "cloudevents"])
def test_the_meter_comes_to_what_is_expected(form: Format, per_record: int, tmp_path: Path) -> None:
    settings = MeterSettings(load_catalogue(), format=form, as_of=DEFAULT_START + 3 * DAY)
    spec = TrafficSpec(
        events=60_000,
        seed=11,
        format=form,
        span=3 * DAY,
        malformed=0.01,
        from_the_future=0.002,
        too_old=0.002,
        late=0.02,
        partitions=3,
        per_record=per_record,
        meter=settings,
    )
    if form != "sentry-outcomes":
        spec = replace(spec, duplicates=0.05, conflicts=0.01)
    expected = generate_folder(tmp_path / "traffic", spec)
    counts, rows = metered(tmp_path / "traffic", settings)
    assert expected.compare_counts(counts) == []
    assert expected.compare(rows, by="day") == []
    assert expected.compare(rows, by="month") == []
    assert sum((part.rejected for part in counts.values()), Counter())["too_old"] > 50
    # What is compared can differ: one event more in one row is one difference in each number.
    org, category, window, quantity, events = rows[0]
    wrong = [(org, category, window, quantity + 1, events + 1), *rows[1:]]
    assert [difference.size for difference in expected.compare(wrong, by="day")] == [1, 1]
