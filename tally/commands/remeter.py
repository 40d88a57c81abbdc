"""`tally remeter`: meter a range of a log again, see what would change for whom, and switch over with one row."""

import getpass
import socket
import time
from typing import Annotated, Any, Final

import typer

from schemas.log import LogId
from sinks.store import open_store
from tally.commands import options as o
from tally.output import print_json, print_rows, progress_bar, say
from tally.remeter.changes import By, read_changes, read_totals, read_verdicts
from tally.remeter.ranges import Asked, Target, read_name
from tally.remeter.showing import STATES, Shown, print_shown
from tally.settings import load_settings
from tally.units import show_instant
from tally.usage import UsageQuery, check_query, read_bound

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")

ROWS: Final = 100
"""Rows of a table, unless --limit says otherwise."""

Name = Annotated[str, typer.Argument(metavar="REMETER", help="A remeter, as `tally remeter list` names it.")]
Who = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who decides; by default this user and host.")]


@app.callback()
def remeter() -> None:
    """Meter a range of a log again after a release that metered wrongly, and switch over with one row.

    The log is metered under the settings in force now into a generation that nobody sees. It is compared with what it
    would replace, and put in its place by one row; another one puts things back.

    For example:

        tally remeter run --topic usage

        tally remeter show 5f3a09c1

        tally remeter switch 5f3a09c1
    """


@app.command()
def run(
    topic: Annotated[str, typer.Option("--topic", metavar="TOPIC", help="The topic of the logs.")],
    partition: Annotated[
        str | None,
        typer.Option("--partition", metavar="PARTITION", help="One partition, or a file's path.", show_default="all"),
    ] = None,
    from_offset: Annotated[
        int | None, typer.Option("--from-offset", metavar="OFFSET", min=0, help="The first offset.", show_default="all")
    ] = None,
    to_offset: Annotated[
        int | None,
        typer.Option("--to-offset", metavar="OFFSET", min=0, help="One past the last offset.", show_default="all"),
    ] = None,
    generation: Annotated[
        int | None, typer.Option("--generation", metavar="N", min=1, help="One generation, instead of offsets.")
    ] = None,
    who: Who = None,
    as_json: o.JsonOption = False,
    store: o.StoreOption = None,
    format_: o.FormatOption = None,
    catalogue: o.CatalogueOption = None,
    group_by_project: o.GroupByProjectOption = None,
    group_by: o.GroupByOption = None,
    window: o.WindowOption = None,
    allowed_lateness: o.AllowedLatenessOption = None,
    dedupe_bucket: o.DedupeBucketOption = None,
    dedupe_horizon: o.DedupeHorizonOption = None,
    max_future: o.MaxFutureOption = None,
    max_age: o.MaxAgeOption = None,
    as_of: o.AsOfOption = None,
    trust_producer_time: o.TrustProducerTimeOption = None,
    kafka: o.KafkaOption = None,
    dedupe_max_bytes: o.DedupeMaxBytesOption = None,
    batch_bytes: o.BatchBytesOption = None,
    store_patience: o.StorePatienceOption = None,
) -> None:
    """Meter a range of a topic's logs again into generations that nobody sees yet, and print the remeter's name.

    For example:

        tally remeter run --topic usage

        tally remeter run --topic usage --partition 3 --from-offset 1000000 --allowed-lateness 5min

    Give the settings that the logs are to be metered with. A range is
    widened to whole generations, since a usage row is a total over one.
    Nothing that counts changes. Killed, and started again with the same
    words, it goes on where it stopped; started again later, it meters what
    a run has metered since. The logs must still have the records.
    """
    mine = {"topic", "partition", "from_offset", "to_offset", "generation", "who", "as_json", "format_"}
    settings = load_settings(
        **{name: value for name, value in locals().items() if name not in {*mine, "mine"}}, format=format_
    )
    metering = settings.meter_settings()
    asked = Asked(from_offset, to_offset, generation)
    from dataflows.decode import Decoder  # noqa: PLC0415 - compiled code, loaded where it is used
    from sinks.retry import Retrying  # noqa: PLC0415
    from tally.remeter.run import find_targets, make_candidates, plan_remeter  # noqa: PLC0415
    from tally.rereading import Listed, reopen  # noqa: PLC0415
    from tally.wiring import keep_large_buffers  # noqa: PLC0415

    with open_store(settings.store, create=False) as opened:
        opened.check_version()
        patience = None if settings.store_patience is None else settings.store_patience / 1_000_000
        opened.retrying = Retrying(patience=patience, on_wait=say)
        targets = find_targets(opened, topic, partition, asked)
        known: dict[str, Listed] = {}
        planned = plan_remeter(
            opened, metering, topic, targets, lambda progress: reopen(progress, settings, _now, say, known), _now
        )
        for note in (*_widened(targets, asked), *planned.notes):
            say(note)
        what = f"{planned.offsets:,} offsets of {len(targets)} logs, under settings {metering.fingerprint()}"
        say(f"remeter {planned.name}: {what}")
        keep_large_buffers()
        with progress_bar() as bar:
            task = bar.add_task("metering again", total=planned.offsets)

            def on_read(log: LogId, done: int) -> None:
                bar.update(task, description=f"metering {log} again", completed=done)

            make_candidates(opened, planned, Decoder(metering), now=_now(), by=who or _me(), on_read=on_read)
        _show(opened, planned.name, UsageQuery(limit=ROWS), "day", as_json=as_json)


@app.command("list")
def listing(store: o.StoreOption = None, as_json: o.JsonOption = False) -> None:
    """List the remeters that were made, with what was decided of each last.

    For example:

        tally remeter list --json
    """
    from sinks.remeters import read_decisions  # noqa: PLC0415
    from tally.remeter.state import candidates_of  # noqa: PLC0415

    with open_store(load_settings(store=store).store, create=False) as opened:
        opened.check_version()
        last = {one.remeter: one for one in read_decisions(opened)}
        rows = []
        for one in last.values():
            found = candidates_of(opened, one.remeter)
            topics = ", ".join(sorted({candidate.log.topic for candidate in found}))
            decided = show_instant(one.decided_at)
            rows.append((one.remeter, topics, len(found), STATES[one.decision], decided, one.decided_by))
    print_rows(("remeter", "topic", "logs", "state", "decided_at", "by"), rows, "json" if as_json else "table")


@app.command()
def show(
    remeter: Name,
    by: Annotated[By, typer.Option("--by", help="The time a row covers.")] = "day",
    org: Annotated[list[int] | None, typer.Option("--org", metavar="ID", help="Only this organisation.")] = None,
    category: Annotated[
        list[str] | None, typer.Option("--category", metavar="CATEGORY", help="Only this category.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="INSTANT", help="Windows from this instant or date on.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="INSTANT", help="Windows before this instant or date.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", help="At most so many rows.", show_default="100 in a table")
    ] = None,
    unchanged: Annotated[bool, typer.Option("--unchanged", help="Rows too that stay as they are.")] = False,
    store: o.StoreOption = None,
    as_json: o.JsonOption = False,
) -> None:
    """Show what a remeter would change for whom, or has changed: before, after and the difference.

    For example:

        tally remeter show 5f3a09c1 --by hour --org 42

        tally remeter show 5f3a09c1 --json > changes.json

    Rows are usage by organisation, category and day (hour, window), those
    that differ most first. In SQL the same is in the view remeter_changes.
    """
    query = UsageQuery(
        orgs=tuple(org or ()),
        categories=tuple(category or ()),
        start=None if since is None else read_bound(since, "--from"),
        end=None if until is None else read_bound(until, "--to"),
        limit=ROWS if limit is None and not as_json else limit,
    )
    check_query(query)
    with open_store(load_settings(store=store).store, create=False) as opened:
        opened.check_version()
        _show(opened, read_name(remeter), query, by, as_json=as_json, unchanged=unchanged)


@app.command()
def switch(remeter: Name, who: Who = None, store: o.StoreOption = None, as_json: o.JsonOption = False) -> None:
    """Put a remeter in force: its rows count from one moment on, and what it replaces no longer.

    For example:

        tally remeter switch 5f3a09c1

    Refused unless it is complete and its counts balance with its rows, and
    while a run writes what it replaces: stop the run first, let `tally
    remeter run` go on with what it has metered since, switch, and start the
    run again. It begins a new generation where the remeter ends.
    """
    from tally.remeter.switching import switch as put_in_force  # noqa: PLC0415

    settings = load_settings(store=store)
    with open_store(settings.store, create=False) as opened:
        opened.check_version()
        name = read_name(remeter)
        done = put_in_force(opened, name, settings.meter_settings(), now=_now(), by=who or _me())
    if as_json:
        print_json({"remeter": name, "state": "active", "logs": len(done.candidates)})
    say(f"remeter {name} is in force; `tally remeter undo {name}` takes it back. Rate again what was rated before")


@app.command()
def undo(remeter: Name, who: Who = None, store: o.StoreOption = None, as_json: o.JsonOption = False) -> None:
    """Put back what a remeter has replaced: its own rows are hidden again, from one moment on.

    For example:

        tally remeter undo 5f3a09c1

    Nothing is lost by it: the remeter can be switched to again.
    """
    from tally.remeter.switching import undo as put_back  # noqa: PLC0415

    settings = load_settings(store=store)
    with open_store(settings.store, create=False) as opened:
        opened.check_version()
        name = read_name(remeter)
        put_back(opened, name, settings.meter_settings(), now=_now(), by=who or _me())
    if as_json:
        print_json({"remeter": name, "state": "undone"})
    say(f"remeter {name} is undone: what it replaced counts again")


@app.command()
def drop(remeter: Name, who: Who = None, store: o.StoreOption = None, as_json: o.JsonOption = False) -> None:
    """Give a remeter up that is not in force: it can no longer be switched to.

    For example:

        tally remeter drop 5f3a09c1

    Its rows stay in the tables, hidden for ever; docs/OPERATIONS.md says
    how they are deleted. Made again, it is another remeter.
    """
    from tally.remeter.switching import drop as give_up  # noqa: PLC0415

    with open_store(load_settings(store=store).store, create=False) as opened:
        opened.check_version()
        name = read_name(remeter)
        give_up(opened, name, now=_now(), by=who or _me())
    if as_json:
        print_json({"remeter": name, "state": "dropped"})
    say(f"remeter {name} is dropped: its rows stay hidden")


def _show(opened: Any, name: str, query: UsageQuery, by: By, *, as_json: bool, unchanged: bool = False) -> None:
    from tally.remeter.switching import standing_of  # noqa: PLC0415

    standing = standing_of(opened, name)
    rows, truncated = read_changes(opened, name, query, by, unchanged=unchanged)
    verdicts = read_verdicts(opened, name, standing.candidates)
    print_shown(Shown(standing, verdicts, read_totals(opened, name, query), rows, truncated), as_json=as_json)


def _widened(targets: list[Target], asked: Asked) -> list[str]:
    wider = [target for target in targets if target.widened(asked)]
    said = [
        f"{target.log}: widened to offsets {target.start} to {target.end}: whole generations, over which usage rows "
        "are totals"
        for target in wider[:5]
    ]
    return said + ([f"and {len(wider) - 5} more logs were widened"] if len(wider) > 5 else [])


def _now() -> int:
    return time.time_ns() // 1_000


def _me() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"
