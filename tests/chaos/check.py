"""The check at a round's end: what the store says against what the oracle says of the log as it can be read back."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from schemas.log import LogId
from schemas.metering import MeterSettings
from schemas.progress import Counts, Progress
from tests.chaos.brokers import patiently
from tests.flow.processes import tally
from tests.flow.topics import Records, in_store, read_back
from tests.flow.truth import Truth, expected

SHOWN: Final = 3
"""Differences of one kind that are shown one by one."""


class Judged(NamedTuple):
    """What was compared, and what differs, in words."""

    counts: Counts
    rows: int
    letters: int
    differences: list[str]


def judge_topic(
    address: str, store_url: str, topic: str, acknowledged: Sequence[set[int]], settings: MeterSettings
) -> Judged:
    """Read the topic back, by a consumer of its own, let the oracle meter it, and compare everything."""
    records = patiently(lambda: read_back(address, topic, len(acknowledged), settings))
    found, progress = in_store(store_url, topic, len(acknowledged))
    truths = [expected(log, settings) for log in records]
    differences = [
        *_not_in_the_log(records, acknowledged),
        *(line for log, read in zip(records, progress, strict=True) for line in _not_read(log, read)),
        *(
            line
            for number, (theirs, ours) in enumerate(zip(truths, found, strict=True))
            for line in compare(f"{topic}/{number}", theirs, ours)
        ),
    ]
    counts = Counts.total(truth.counts for truth in truths)
    return Judged(counts, sum(len(x.rows) for x in truths), sum(len(x.letters) for x in truths), differences)


def _not_in_the_log(records: Records, acknowledged: Sequence[set[int]]) -> Iterable[str]:
    """Check the harness's own ground: what the brokers acknowledged is in the log."""
    for number, (log, offsets) in enumerate(zip(records, acknowledged, strict=True)):
        lost = offsets - {record.offset for record in log}
        if lost:
            yield f"partition {number}: the brokers acknowledged and lost {len(lost)} records, such as {min(lost)}"


def _not_read(log: Sequence[Any], read: Progress) -> Iterable[str]:
    end = log[-1].offset + 1 if log else 0
    if read.next_offset != end:
        yield f"{read.log}: read up to offset {read.next_offset}, and its end is {end}"
    if read.generation != 1:
        yield f"{read.log}: generation {read.generation}, though nothing started a new one"


def compare(name: str, theirs: Truth, ours: Truth) -> Iterable[str]:
    """Yield what the store has otherwise than the oracle, in words."""
    yield from _keys(f"{name}: usage rows", theirs.rows, ours.rows)
    yield from _keys(f"{name}: dead letters", theirs.letters, ours.letters)
    yield from _keys(f"{name}: kept events", theirs.kept, ours.kept)
    if theirs.counts != ours.counts:
        left, right = theirs.counts.as_json(), ours.counts.as_json()
        told = [f"{key} {left[key]} by the oracle, {right[key]} stored" for key in left if left[key] != right[key]]
        yield f"{name}: counts: " + "; ".join(told)


def _keys(name: str, theirs: Mapping[Any, Any], ours: Mapping[Any, Any]) -> Iterable[str]:
    lost = [f"{key} {theirs[key]}" for key in theirs.keys() - ours.keys()]
    extra = [f"{key} {ours[key]}" for key in ours.keys() - theirs.keys()]
    other = [f"{key} {theirs[key]} is {ours[key]}" for key in theirs.keys() & ours.keys() if theirs[key] != ours[key]]
    for what, found in (("lost", lost), ("too many", extra), ("different", other)):
        if found:
            yield f"{name}: {len(found)} {what}: " + "; ".join(sorted(found)[:SHOWN])


def went_back(before: Mapping[LogId, Progress], after: Mapping[LogId, Progress]) -> Iterable[str]:
    """Yield where progress is behind what it was."""
    for log, was in before.items():
        now = after.get(log)
        if now is None or (now.generation, now.next_offset) < (was.generation, was.next_offset):
            yield f"{log}: progress went back from {was.next_offset} to {now.next_offset if now else 'nothing'}"


def reconciliation(store_url: str, *more: str) -> dict[str, Any]:
    """Return what `tally reconcile` says of a whole store."""
    done = tally("reconcile", "--store", store_url, "--json", *more)
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def reconciled(store_url: str, window: int) -> Iterable[str]:
    """Run `tally reconcile` over everything; yield each difference that it finds."""
    found = reconciliation(store_url, "--window", f"{window // 1_000_000}s")
    if found["differences"]:
        yield f"tally reconcile: {found['differences']} differences"
    for law in found["laws"]:
        for finding in law["findings"][:SHOWN]:
            if finding["standing"] == "difference":
                yield f"tally reconcile: {law['law']}: {finding}"


def recounted(store_url: str, topic: str, flags: Sequence[str]) -> Iterable[str]:
    """Run `tally recount` over the first partition: plain SQL, without the decoder and the meter."""
    done = tally("recount", "--topic", topic, "--partition", "0", "--store", store_url, *flags, "--json")
    if done.returncode:
        yield f"tally recount ended with {done.returncode}: {(done.stderr + done.stdout)[-3000:]}"
