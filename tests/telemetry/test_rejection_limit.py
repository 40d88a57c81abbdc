"""The limit on rejections: where it stops a run, that it changes no count, and that a restart drains nothing."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows import rejection_limit
from dataflows.rejection_limit import RejectionLimit, RejectionLimits
from schemas.catalogue import load_catalogue
from schemas.errors import RejectionFlood
from schemas.log import EventBatch, LogId, RecordBatch
from schemas.metering import MeterSettings
from schemas.verdicts import ACCEPTED, DUPLICATE, NOT_BILLABLE, code_of
from sinks.store import open_store
from tests.flow.processes import ok, tally
from tests.flow.running import only_message
from tests.flow.traffic import timestamp
from tests.flow.truth import expected, records_of_file, stored

LOG = LogId("usage", "3")
BAD = (code_of("not_json"), code_of("overflow"))
GOOD = (ACCEPTED, DUPLICATE, NOT_BILLABLE)
SETTINGS = MeterSettings(load_catalogue())


def batch(verdicts: Sequence[int], first: int = 0) -> tuple[EventBatch, np.ndarray]:
    """A batch of one event a record, at offsets from `first` on."""
    size = len(verdicts)
    none = np.zeros(size, np.int64)
    codes = np.array(verdicts, np.uint8)
    records = RecordBatch(LOG, b"", none, none, np.arange(first, first + size), None, first + size)
    narrow, wide = none.astype(np.int32), none.astype(np.uint64)
    number = np.arange(size, dtype=np.int32)
    return EventBatch(
        records, number, narrow, codes, none, none, narrow, none, none, wide, wide, wide, narrow, narrow, ("",), (),
        lambda _: b"",
    ), codes  # fmt: skip


def stops_at(limits: RejectionLimits, pieces: Sequence[Sequence[int]], replayed: int = 0) -> int | None:
    """The piece at which a run stops; None where it goes on to the end."""
    limit, first = RejectionLimit(limits), 0
    for number, piece in enumerate(pieces):
        found, verdict = batch(piece, first)
        first += len(piece)
        try:
            limit.take(found, verdict, replayed=len(piece) if number < replayed else 0)
        except RejectionFlood:
            return number
    return None


verdicts = st.lists(st.one_of(st.sampled_from(BAD), st.sampled_from((*BAD, *GOOD))), max_size=40)


def cut(whole: list[int], cuts: list[int]) -> list[list[int]]:
    places = sorted({min(place, len(whole)) for place in cuts})
    return [whole[a:b] for a, b in itertools.pairwise([0, *places, len(whole)])]


@given(verdicts, st.lists(st.integers(0, 40), max_size=6), st.integers(1, 12))
def test_a_row_is_found_wherever_the_log_is_cut(whole: list[int], cuts: list[int], most: int) -> None:
    row = longest = 0
    for code in whole:
        row = row + 1 if code in BAD else 0
        longest = max(longest, row)
    for pieces in ([whole], [[code] for code in whole], cut(whole, cuts)):
        assert (stops_at(RejectionLimits(in_row=most), pieces) is not None) == (longest >= most)


@given(verdicts, st.lists(st.integers(0, 40), max_size=6), st.integers(1, 12))
def test_a_run_stops_in_the_piece_in_which_the_row_is_full(whole: list[int], cuts: list[int], most: int) -> None:
    row, full = 0, None
    for place, code in enumerate(whole):
        row = row + 1 if code in BAD else 0
        if row >= most and full is None:
            full = place
    pieces = cut(whole, cuts)
    ends = list(itertools.accumulate(len(piece) for piece in pieces))
    piece = None if full is None else next(number for number, end in enumerate(ends) if end > full)
    assert stops_at(RejectionLimits(in_row=most), pieces) == piece


@given(verdicts, st.integers(0, 1_000_000), st.integers(1, 10))
def test_a_ratio_is_judged_over_whole_stretches(whole: list[int], ratio: int, stretch: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rejection_limit, "STRETCH", stretch)
        found = stops_at(RejectionLimits(ratio=ratio), [[code] for code in whole])
    bad = [code in BAD for code in whole]
    over = [
        sum(bad[start : start + stretch]) * 1_000_000 > ratio * stretch
        for start in range(0, len(bad) - stretch + 1, stretch)
    ]
    assert found == (over.index(True) * stretch + stretch - 1 if True in over else None)


def test_without_limits_nothing_stops() -> None:
    assert stops_at(RejectionLimits(), [[BAD[0]] * 20_000] * 3) is None


def test_a_replay_stops_nothing_but_its_row_goes_on() -> None:
    bad = [BAD[0]] * 5
    limits = RejectionLimits(in_row=8, ratio=1)
    assert stops_at(limits, [bad, bad, bad], replayed=3) is None
    assert stops_at(limits, [bad, bad], replayed=1) == 1
    assert stops_at(limits, [bad, [ACCEPTED], bad], replayed=1) is None


def test_of_a_batch_that_ends_past_the_replay_only_the_rest_counts() -> None:
    limits = RejectionLimits(in_row=5)
    mixed = batch([BAD[0]] * 6)
    RejectionLimit(limits).take(*mixed, replayed=6)
    with pytest.raises(RejectionFlood):
        RejectionLimit(limits).take(*mixed, replayed=1)
    after = RejectionLimit(limits)
    after.take(*mixed, replayed=6)
    with pytest.raises(RejectionFlood):  # the row that began in the replay goes on
        after.take(*batch([BAD[0]], 6), replayed=0)


def test_the_message_says_where_and_what_to_do() -> None:
    with pytest.raises(RejectionFlood) as caught:
        RejectionLimit(RejectionLimits(in_row=3)).take(*batch([ACCEPTED, *[BAD[1]] * 3], 40), replayed=0)
    assert str(caught.value).startswith(
        "usage/3: 3 events in a row were rejected (most of the latest: overflow), up to offset 43; "
        "max_rejected_in_row is 3. "
    )
    assert "tally explain usage/3/43" in str(caught.value)
    assert (caught.value.log, caught.value.offset, caught.value.exit_status) == (LOG, 43, 1)


def good_line(number: int) -> bytes:
    event = {"event_id": f"e{number}", "org_id": 1, "project_id": 1, "category": "error", "quantity": 1}
    return json.dumps({**event, "timestamp": timestamp(number // 10)}).encode()


def test_a_flood_stops_a_run_again_and_again_and_the_raised_limit_counts_it_exactly(tmp_path: Path) -> None:
    path, store = tmp_path / "flood.ndjson", f"chdb:{tmp_path / 'store'}"
    lines = [*map(good_line, range(120)), *[b"not json"] * 3_000, *map(good_line, range(120, 200))]
    path.write_bytes(b"\n".join(lines) + b"\n")
    flags = (str(path), "--store", store, "--batch-bytes", "4KiB", "--flush-interval", "1us", "--quiet")
    left = set()
    for _ in range(2):
        done = tally("run", *flags, "--max-rejected-in-row", "1000")
        assert done.returncode == 1
        assert "flood.ndjson/flood.ndjson: 1," in only_message(done.stderr)
        with open_store(store, create=False) as opened:
            left.add(stored(opened, LogId("flood.ndjson", "flood.ndjson")).counts.rejected.total())
    assert left == {max(left)}, "a restart drained more into the dead letters"
    assert max(left) < 1_000
    ok("run", *flags, "--max-rejected-in-row", "off", "--max-rejected-ratio", "75%")
    with open_store(store, create=False) as opened:
        truth = expected(records_of_file(path, SETTINGS), SETTINGS)
        assert stored(opened, LogId("flood.ndjson", "flood.ndjson")) == truth
    assert truth.counts.rejected.total() == 3_000


def test_the_default_ratio_stops_a_run_of_a_wrong_format(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"\n".join(map(good_line, range(12_000))) + b"\n")
    flags = ("--store", f"chdb:{tmp_path / 'store'}", "--quiet", "--format", "cloudevents")
    done = tally("run", str(path), *flags)
    assert done.returncode == 1
    assert "12,000 of the last 12,000 events were rejected (most of the latest: missing_field)" in done.stderr
