"""`tally deadletters`: list, show and replay the events that were rejected."""

import getpass
import socket
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from schemas.errors import SettingsError
from sinks.store import Store, open_store
from tally.commands import options as o
from tally.deadletters import Letter, Selection, count_by_reason, read_pages
from tally.json_rows import print_json_rows
from tally.letter_views import as_json_value, as_text, clock_of, readable
from tally.output import print_json, print_table, progress_bar, say
from tally.positions import FORM, find_position
from tally.replay import OUTCOMES, Replayed, Summary, Terms, replay
from tally.replay_records import records_at
from tally.settings import load_settings

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    no_args_is_help=True,
    help="""List, show and replay the events that were rejected.

    No rejected event disappears: the store keeps its position, the reason and its own bytes (up to 1 MiB).

    For example:

        tally deadletters list --reason unknown_category

        tally deadletters show usage/0/4711

        tally deadletters replay --reason unknown_category --dry-run
    """,
)

LISTED: Final = 50
"""Letters that a list shows where no limit was given; JSON has all."""
TOLD: Final = 20
"""Letters that a replay which is read by a person names one by one."""

TopicOption = Annotated[str | None, typer.Option("--topic", metavar="TOPIC", help="Only letters of this topic.")]
PartitionOption = Annotated[
    str | None, typer.Option("--partition", metavar="PARTITION", help="Only letters of this partition (or file).")
]
ReasonOption = Annotated[
    list[str] | None, typer.Option("--reason", metavar="REASON", help="Only this reason; may be repeated.")
]


@app.command("list")
def list_letters(
    topic: TopicOption = None,
    partition: PartitionOption = None,
    reason: ReasonOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", metavar="N", min=1, help="At most this many letters.", show_default=f"{LISTED}; all in JSON"
        ),
    ] = None,
    as_json: o.JsonOption = False,
    store: o.StoreOption = None,
) -> None:
    """List rejected events, in the order of their positions, under counts by reason.

    For example:

        tally deadletters list --topic usage --reason bad_timestamp
    """
    selection = Selection(topic=topic, partition=partition, reasons=tuple(reason or ()))
    most = limit if limit is not None or as_json else LISTED
    with _opened(load_settings(store=store).store) as opened:
        counts = count_by_reason(opened, selection)
        total = sum(counts.values())
        rows = _listed(opened, selection, most)
        if as_json:
            columns = ("topic", "partition", "offset", "index", *_LISTED)
            split = ((p.log.topic, p.log.partition, p.offset, p.index, *rest) for p, *rest in rows)
            print_json_rows(columns, split, before={"total": total, "by_reason": counts})
            return
        if not total:
            print("no dead letters" + (" for what was asked" if topic or partition or reason else ""))
            return
        print(f"{total:,} dead letters: " + ", ".join(f"{name} {n:,}" for name, n in counts.items()))
        print_table(("position", *_LISTED), [(str(position), *rest) for position, *rest in rows])
        if most is not None and total > most:
            say(f"the first {most:,} of {total:,}; --limit N shows more, --json all")


_LISTED: Final = ("reason", "detail", "clock", "bytes", "replayed")


def _listed(store: Store, selection: Selection, most: int | None) -> Iterator[tuple[Any, ...]]:
    shown = 0
    for page in read_pages(store, selection, raw=False):
        records = records_at(store, page)
        for letter in page:
            if shown == most:
                return
            shown += 1
            record = records.get(letter.position)
            outcome = "" if record is None else record.outcome
            yield letter.position, letter.reason, letter.detail, clock_of(letter), letter.raw_size, outcome


@app.command()
def show(
    position: Annotated[str, typer.Argument(metavar="POSITION", help=f"{FORM}.")],
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the event's exact bytes to standard output, and nothing else.")
    ] = False,
    as_json: o.JsonOption = False,
    store: o.StoreOption = None,
) -> None:
    r"""Show a rejected event: why it was rejected, its bytes, and whether it was replayed.

    For example:

        tally deadletters show usage/0/4711

        tally deadletters show traffic/2026-11/day-22.ndjson/88213/2 --raw > event.json

    What a terminal would obey is shown as an escape, such as \x1b; --raw
    and the JSON field raw_base64 have the bytes as they are.
    """
    if raw and as_json:
        raise SettingsError("--raw and --json cannot both be given: JSON has the bytes as raw_base64")
    with _opened(load_settings(store=store).store) as opened:
        found = find_position(opened, position)
        letters = [one for page in read_pages(opened, Selection((found,)), raw=True) for one in page]
        records = records_at(opened, letters)
    if not letters:
        raise SettingsError(f"{found}: there is no dead letter; `tally explain {found}` says what became of it")
    if raw:
        _write_raw(letters)
    elif as_json:
        print_json([as_json_value(letter, records.get(letter.position)) for letter in letters])
    else:
        print("\n".join(as_text(letter, records.get(letter.position)) for letter in letters))


def _write_raw(letters: list[Letter]) -> None:
    if len(letters) > 1:
        raise SettingsError(
            f"{letters[0].log}/{letters[0].offset} holds {len(letters)} rejected events: name one of "
            + ", ".join(str(letter.position) for letter in letters[:5])
        )
    if letters[0].cut:
        say(f"the event had {letters[0].raw_size:,} bytes; the store kept the first {len(letters[0].raw):,}")
    sys.stdout.flush()
    sys.stdout.buffer.write(letters[0].raw)
    sys.stdout.buffer.flush()


@app.command("replay")
def replay_letters(
    positions: Annotated[
        list[str] | None, typer.Argument(metavar="POSITION", help=f"{FORM}; without any: all letters.")
    ] = None,
    topic: TopicOption = None,
    partition: PartitionOption = None,
    reason: ReasonOption = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Count conflicting duplicates and events that were too old as well.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would become of them; write nothing.")] = False,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who replays, for the record.", show_default="user@host")
    ] = None,
    as_json: o.JsonOption = False,
    store: o.StoreOption = None,
    format_: o.FormatOption = None,
    catalogue: o.CatalogueOption = None,
    group_by_project: o.GroupByProjectOption = None,
    group_by: o.GroupByOption = None,
    window: o.WindowOption = None,
    max_age: o.MaxAgeOption = None,
    as_of: o.AsOfOption = None,
) -> None:
    """Decode rejected events again, under today's settings, and count those that are well-formed now.

    For example, after a category was added to the catalogue:

        tally deadletters replay --reason unknown_category --dry-run

        tally deadletters replay --reason unknown_category

    Each event becomes a usage row of its own, keyed by its position under
    the topic replay:TOPIC. Replaying twice changes nothing. The time
    checks are not asked again, but conflicts and events that were too old
    need --accept. An event whose organisation and event id were replayed
    before is dropped. Events are decoded in the format that they came in,
    unless a format is set.

    What the store cannot know: it keeps no ids of the events that the log
    itself had accepted. An event that was corrected and sent again was
    counted then, and replaying its letter counts it once more. Replay what
    was not sent again.
    """
    settings = load_settings(
        store=store,
        format=format_,
        catalogue=catalogue,
        group_by_project=group_by_project,
        group_by=group_by,
        window=window,
        max_age=max_age,
        as_of=as_of,
    )
    terms = Terms(
        settings.meter_settings(),
        now=time.time_ns() // 1_000,
        by=by or f"{getpass.getuser()}@{socket.gethostname()}",
        accept=accept,
        dry_run=dry_run,
        own_format=settings.origin("format") == "default",
    )
    with _opened(settings.store) as opened:
        found = tuple(find_position(opened, text) for text in positions or ())
        selection = Selection(found, topic, partition, tuple(reason or ()))
        total = sum(count_by_reason(opened, selection).values())
        if found and not total:
            raise SettingsError(f"{', '.join(positions or ())}: there is no dead letter; nothing was replayed")
        summary = Summary()
        with progress_bar() as bar:
            task = bar.add_task("replaying", total=total)
            replayed = summary.watch(bar.track(replay(opened, selection, terms), total=total, task_id=task))
            if as_json:
                rows = (_replayed_row(one) for one in replayed)
                about = {"dry_run": dry_run, "by": terms.by}
                print_json_rows(_REPLAYED, rows, before=about, after=lambda: _summed(summary))
                return
            left = _left(replayed)
    _print_summary(summary, left, dry_run=dry_run)


_REPLAYED: Final = (
    "topic",
    "partition",
    "offset",
    "index",
    "reason",
    "outcome",
    "detail",
    "org_id",
    "category",
    "quantity",
)


def _replayed_row(one: Replayed) -> tuple[Any, ...]:
    at, row = one.position, one.row
    usage = (None, None, None) if row is None else (row.org_id, row.category, row.quantity)
    return (at.log.topic, at.log.partition, at.offset, at.index, one.reason, one.outcome, one.detail, *usage)


def _summed(summary: Summary) -> dict[str, Any]:
    counted = [
        {"category": name, "events": events, "quantity": quantity}
        for name, (events, quantity) in sorted(summary.counted.items())
    ]
    return {"letters": summary.outcomes.total(), "outcomes": dict(summary.outcomes), "counted": counted}


def _left(replayed: Iterator[Replayed]) -> list[Replayed]:
    """Walk to the end and return the first few letters that a person may want to do something about."""
    left: list[Replayed] = []
    for one in replayed:
        if one.outcome in {"rejected", "needs_accept", "cut"} and len(left) < TOLD:
            left.append(one)
    return left


def _print_summary(summary: Summary, left: list[Replayed], *, dry_run: bool) -> None:
    if not summary.outcomes:
        print("no dead letters to replay")
        return
    rows = [(name, summary.outcomes[name], meaning) for name, meaning in OUTCOMES.items() if summary.outcomes[name]]
    print_table(("outcome", "letters", "meaning"), rows)
    if summary.counted:
        counted = [(name, events, quantity) for name, (events, quantity) in sorted(summary.counted.items())]
        print_table(("category", "events", "quantity"), counted)
    for one in left:
        print(readable(f"{one.position}: {one.outcome}: {one.detail}".encode()))
    if dry_run:
        print("a dry run: nothing was written")


def _opened(url: str) -> Store:
    opened = open_store(url, create=False)
    try:
        opened.check_version()
    except BaseException:
        opened.close()
        raise
    return opened
