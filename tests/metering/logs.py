"""Random small logs for the meter: few ids, few windows, times that jump, so that every rule is met often."""

from hypothesis import strategies as st

from tests.oracle import Event, Record, Rules

SECOND = 1_000_000
EPOCH = 1_763_800_000 * SECOND
HUGE = 2**53

rules = st.builds(
    Rules,
    group_by_project=st.booleans(),
    window=st.sampled_from([60 * SECOND, 300 * SECOND]),
    allowed_lateness=st.sampled_from([0, 30 * SECOND, 120 * SECOND]),
    bucket=st.sampled_from([10 * SECOND, 60 * SECOND]),
    horizon_buckets=st.integers(1, 4),
    max_future=st.just(300 * SECOND),
    max_age=st.sampled_from([3600 * SECOND, 90 * 86_400 * SECOND]),
    as_of=st.sampled_from([None, None, EPOCH + 600 * SECOND]),
    kept=st.sampled_from([(), ("span",), ("error", "span")]),
)


@st.composite
def events(draw: st.DrawFn, now: int) -> Event:
    kind = draw(st.integers(0, 19))
    if kind == 0:
        return Event(rejected=draw(st.sampled_from(["not_json", "missing_field", "bad_quantity"])))
    age = draw(st.one_of(st.integers(-30, 90), st.integers(-400, 4000), st.just(100 * 86_400)))
    return Event(
        org=draw(st.integers(1, 2)),
        event_id=None if kind == 1 else draw(st.sampled_from("abcdef")),
        category=draw(st.sampled_from(["error", "span"])),
        project=draw(st.integers(0, 1)),
        quantity=draw(st.sampled_from([0, 1, 1, 2, 7, HUGE])),
        # Coarse instants make exact duplicates and exact window ends common.
        timestamp=now - age * SECOND - (now - age * SECOND) % (draw(st.sampled_from([1, 60])) * SECOND),
        dimensions=draw(st.sampled_from(["", "", '{"region":"eu"}'])),
        not_billable="filtered" if kind == 2 else None,
        value=draw(st.sampled_from(["", '"alice"', '"bob"', "7"])),
        amount=draw(st.sampled_from(["0", "0.1", "12"])),
    )


@st.composite
def logs(draw: st.DrawFn, broker: bool | None = None, most: int = 30) -> list[Record]:
    """A log of up to `most` records, with offset gaps, several events a record, repeats of earlier events."""
    with_broker = draw(st.booleans()) if broker is None else broker
    now, offset = EPOCH, draw(st.sampled_from([0, 0, 5]))
    seen: list[Event] = []
    records: list[Record] = []
    for _ in range(draw(st.integers(0, most))):
        now += draw(st.sampled_from([0, 0, 1, 5, 20, 61, 200, 700, -15])) * SECOND
        batch: list[Event] = []
        for _ in range(draw(st.sampled_from([1, 1, 1, 1, 2, 3, 0]))):
            again = seen and draw(st.integers(0, 3)) == 0
            batch.append(draw(st.sampled_from(seen[-6:])) if again else draw(events(now)))
        seen += batch
        records.append(Record(offset, now if with_broker else None, tuple(batch)))
        offset += draw(st.sampled_from([1, 1, 1, 3]))
    return records


def end_of(records: list[Record]) -> int:
    return records[-1].offset + 1 if records else 0
