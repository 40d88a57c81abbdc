"""`tally usage`: every way of asking, against sums of the rows in plain Python."""

import csv
import datetime as dt
import io
import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.errors import SettingsError
from sinks.store import Store
from tally.json_rows import print_json_rows
from tally.usage import BY, By, UsageQuery, read_bound, read_usage
from tests.queries.conftest import Tally
from tests.store.samples import HOUR, MINUTE, NOON, SECOND, R, flush, progress

DAY = 24 * HOUR
Totals = dict[tuple[Any, ...], tuple[int, int, int]]


def text(instant: int) -> str:
    return dt.datetime.fromtimestamp(instant // SECOND, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def start_of(instant: int, by: By) -> str:
    if by == "month":
        return text(instant)[:7] + "-01T00:00:00Z"
    return text(instant - instant % {"window": MINUTE, "hour": HOUR, "day": DAY}[by])


def random_rows(chance: random.Random, most: int = 60) -> list[R]:
    """Rows of distinct keys around the end of November 2026, some late, some of huge quantities."""
    rows = {
        (
            chance.choice([1, 2, 2**63 - 1]),
            chance.choice(["error", "span"]),
            chance.choice([0, 1, 59, 60, 24 * 60, 9 * 24 * 60, 8 * 24 * 60 + 719, 8 * 24 * 60 + 720]),
            chance.choice([0, 0, 7]),
            chance.choice(["", '{"region":"eu"}']),
            chance.choice([0, 3]),
        )
        for _ in range(most)
    }
    return [
        R(org, category, window, chance.choice([0, 1, 7, 2**53]), chance.randrange(1, 5), 0, project, dims, segment)
        for org, category, window, project, dims, segment in sorted(rows)
    ]


def expected(rows: list[R], query: UsageQuery, *, project: bool, dimensions: bool) -> Totals:
    totals: dict[tuple[Any, ...], Counter[str]] = {}
    for row in rows:
        if query.orgs and row.org not in query.orgs:
            continue
        if query.categories and row.category not in query.categories:
            continue
        if query.start is not None and row.window_start < query.start:
            continue
        if query.end is not None and row.window_start >= query.end:
            continue
        key = (
            row.org,
            row.category,
            *([row.project] if project else []),
            *([row.dimensions] if dimensions else []),
            start_of(row.window_start, query.by),
        )
        one = totals.setdefault(key, Counter())
        one.update(quantity=row.quantity, events=row.events, late=row.events if row.segment else 0)
    return {key: (one["quantity"], one["events"], one["late"]) for key, one in totals.items()}


def test_every_question_is_answered_as_plain_sums_are(store: Store) -> None:
    chance = random.Random(20261122)
    rows = random_rows(chance)
    store.write([flush(*rows)])
    bounds = [None, NOON, NOON + 1, NOON + 30 * SECOND, NOON + HOUR, NOON + DAY // 2, NOON + 9 * DAY - DAY // 2]
    for turn in range(60):
        start, end = chance.choice(bounds), chance.choice(bounds)
        query = UsageQuery(
            by=BY[turn % 4],
            orgs=chance.choice([(), (1,), (1, 2**63 - 1)]),
            categories=chance.choice([(), ("span",)]),
            start=start,
            end=end,
            project=chance.choice([None, True, False]),
            dimensions=chance.choice([None, True, False]),
        )
        answer = read_usage(store, query)
        found = list(answer.rows)
        wanted = expected(rows, query, project=query.project is not False, dimensions=query.dimensions is not False)
        assert {row[:-3]: row[-3:] for row in found} == wanted, query
        assert len(found) == len(wanted)
        names = dict(zip(answer.columns, zip(*found, strict=True), strict=True)) if found else {}
        order = [names[name] for name in ("org_id", "category", "window_start") if names]
        assert list(zip(*order, strict=True)) == sorted(zip(*order, strict=True))


def test_json_csv_and_table_say_the_same(store: Store, tally: Tally) -> None:
    rows = random_rows(random.Random(1))
    at = progress("t/0", next_offset=100, log_end=100, finite=True)
    store.write([flush(*rows, at=at)])
    asked = ["usage", "--by", "day", "--org", "1", "--org", "2", "--no-project", "--no-dimensions"]
    wanted = expected(rows, UsageQuery(by="day", orgs=(1, 2)), project=False, dimensions=False)

    as_json = json.loads(tally(*asked, "--json").out)
    assert as_json["complete_to"] == "2100-01-01T00:00:00Z"
    assert as_json["truncated"] is False
    names = ("org_id", "category", "window_start", "quantity", "events", "late_events")
    found = [tuple(row[name] for name in names) for row in as_json["rows"]]
    assert {row[:3]: row[3:] for row in found} == wanted

    table = list(csv.reader(io.StringIO(tally(*asked, "--csv").out)))
    assert table[0] == [*names, "complete_to"]
    assert [tuple(row) for row in table[1:]] == [(*map(str, row), "2100-01-01T00:00:00Z") for row in found]

    shown = tally(*asked).out.splitlines()
    cells = [tuple(cell.replace(",", "") for cell in line.split()) for line in shown[2 : 2 + len(found)]]
    assert cells == [tuple(map(str, row)) for row in found]
    assert shown[-1].startswith("complete_to 2100-01-01T00:00:00Z")


def test_sums_past_64_bits_are_exact(store: Store, tally: Tally) -> None:
    most = 2**63 - 1
    store.write([flush(*(R(1, quantity=most, segment=segment) for segment in range(5)))])
    assert json.loads(tally("usage", "--json").out)["rows"][0]["quantity"] == 5 * most
    assert f"{5 * most:,}" in tally("usage").out


def test_projects_and_dimensions_are_told_apart_where_there_are_any(store: Store, tally: Tally) -> None:
    store.write([flush(R(1))])
    assert tally("usage", "--csv").out.startswith("org_id,category,window_start,")
    assert tally("usage", "--csv", "--project").out.startswith("org_id,category,project_id,window_start,")
    store.write([flush(R(1, project=7, dimensions='{"a":"b"}'))])
    out = tally("usage", "--csv").out.splitlines()
    assert out[0].startswith("org_id,category,project_id,dimensions,window_start,")
    assert any(line.startswith('1,error,7,"{""a"":""b""}",2026-11-22T12:00:00Z,1,1,0,') for line in out)


def test_complete_to_was_read_before_the_usage(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is written between the two reads makes the usage more complete than was said, never less."""
    store.write([flush(R(1), at=progress("t/0", watermark=NOON))])
    real = Store.complete_to

    def and_then_more_comes(self: Store) -> int | None:
        answer = real(self)
        store.write([flush(R(1, quantity=9, last=5), at=progress("t/0", watermark=NOON + HOUR, next_offset=200))])
        return answer

    monkeypatch.setattr(Store, "complete_to", and_then_more_comes)
    answer = read_usage(store, UsageQuery())
    assert answer.complete_to == NOON
    assert [row[-3] for row in answer.rows] == [9]


def test_nothing_found_still_says_how_complete(store: Store, tally: Tally) -> None:
    nothing = tally("usage")
    assert nothing.out.splitlines()[0] == "no usage found: the store has none"
    assert "complete_to is not known" in nothing.out
    store.write([flush(R(1), at=progress("t/0", watermark=NOON))])
    asked = tally("usage", "--org", "9")
    assert asked.status == 0
    assert "no usage found for what was asked" in asked.out
    assert "complete_to 2026-11-22T12:00:00Z" in asked.out
    assert json.loads(tally("usage", "--org", "9", "--json").out) == {
        "complete_to": "2026-11-22T12:00:00Z",
        "by": "window",
        "rows": [],
        "truncated": False,
    }
    as_csv = tally("usage", "--org", "9", "--csv")
    assert as_csv.out.splitlines() == ["org_id,category,window_start,quantity,events,late_events,complete_to"]
    assert "complete_to 2026-11-22T12:00:00Z" in as_csv.err


def test_unknown_completeness_is_null_and_empty(store: Store, tally: Tally) -> None:
    store.write([flush(R(1), at=progress("t/0", partitions=2, watermark=NOON))])
    assert json.loads(tally("usage", "--json").out)["complete_to"] is None
    assert tally("usage", "--csv").out.splitlines()[1].endswith(",1,1,0,")


def test_a_limit_says_that_it_cut(store: Store, tally: Tally) -> None:
    store.write([flush(*(R(org) for org in range(5)))])
    cut = json.loads(tally("usage", "--json", "--limit", "3").out)
    assert ([row["org_id"] for row in cut["rows"]], cut["truncated"]) == ([0, 1, 2], True)
    assert json.loads(tally("usage", "--json", "--limit", "5").out)["truncated"] is False
    table = tally("usage", "--limit", "2")
    assert "the first 2 rows" in table.err
    assert "cut off after 4 rows" in tally("usage", "--csv", "--limit", "4").err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--category", "eror"], "--category 'eror': no such category; did you mean error?"),
        (["--category", "zzzzzz"], "no such category; see the category catalogue"),
        (["--from", "yesterday"], "--from 'yesterday': write a date"),
        (["--from", "2026-11-22T10:00:00"], "an instant with a zone"),
        (["--to", "2026-13-01"], "--to '2026-13-01': write a date"),
        (["--from", "2026-11-02", "--to", "2026-11-02"], "--to 2026-11-02T00:00:00Z is not after --from"),
        (["--org", "-1"], "--org -1"),
        (["--limit", "0"], "--limit 0"),
        (["--json", "--csv"], "choose one"),
    ],
)
def test_a_question_that_cannot_be_meant_is_refused(
    store: Store, tally: Tally, arguments: list[str], message: str
) -> None:
    store.write([flush(R(1))])
    answer = tally("usage", *arguments)
    assert answer.status == 2
    assert message in answer.err
    assert answer.out == ""


def test_a_category_that_only_the_store_or_only_the_catalogue_knows_may_be_asked_for(
    store: Store, tally: Tally
) -> None:
    store.write([flush(R(1, "widget"))])
    assert json.loads(tally("usage", "--json", "--category", "widget").out)["rows"]
    assert json.loads(tally("usage", "--json", "--category", "replay").out)["rows"] == []
    assert "did you mean widget?" in tally("usage", "--category", "widgets").err


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2026-11-22", NOON - 12 * HOUR),
        ("2026-11-22T12:00:00Z", NOON),
        ("2026-11-22T13:00:00+01:00", NOON),
        ("2026-11-22T12:00:00.000001Z", NOON + 1),
    ],
)
def test_bounds_are_dates_or_instants(written: str, instant: int) -> None:
    assert read_bound(written, "--from") == instant


def test_a_bound_names_its_option() -> None:
    with pytest.raises(SettingsError, match="--to"):
        read_bound("2026-02-30", "--to")


def test_json_is_written_row_by_row(capsys: pytest.CaptureFixture[str]) -> None:
    """What came before a row is out before the next one is asked for: nothing piles up."""
    written: list[str] = []

    def rows() -> Iterator[tuple[int]]:
        for number in range(3):
            yield (number,)
            written.append(capsys.readouterr().out)

    print_json_rows(["n"], rows(), before={"a": 1}, after=lambda: {"b": None})
    assert [f'{{"n": {number}}}' in written[number] for number in range(3)] == [True, True, True]
    assert json.loads("".join(written) + capsys.readouterr().out) == {
        "a": 1,
        "rows": [{"n": 0}, {"n": 1}, {"n": 2}],
        "b": None,
    }
