"""`tally source`: the topics that a store knows, and which of them hold completeness back."""

import getpass
import socket
from typing import Annotated

import typer

from schemas.errors import SettingsError
from tally.commands.options import JsonOption, StoreOption
from tally.output import print_rows, say
from tally.settings import load_settings

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")

Topic = Annotated[str, typer.Argument(metavar="TOPIC", help="A topic, as `tally source list` names it.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who decides; by default this user and host.")]


@app.callback()
def source() -> None:
    """List the topics that were read, and retire those of which nothing will come any more.

    A topic that is no longer read holds `complete_to` where its last watermark was. Retiring it says that nothing will
    come of it any more; what it has counted stays.

    For example:

        tally source list
        tally source retire usage-old
    """


@app.command("list")
def listing(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List topics with the instant to which each is complete, the one that holds the others back first.

    For example:

        tally source list --json
    """
    from sinks.store import open_store  # noqa: PLC0415 - loads the engine

    with open_store(load_settings(store=store).store, create=False) as opened:
        rows = opened.query(
            "SELECT c.topic, count(), max(c.retired), "
            "if(countIf(isNull(c.complete_to)) > 0, NULL, min(c.complete_to)) AS t "
            "FROM completeness AS c GROUP BY c.topic ORDER BY t ASC NULLS FIRST, c.topic"
        )
    columns = ("topic", "partitions", "retired", "complete_to")
    print_rows(columns, [(row[0], row[1], bool(row[2]), row[3]) for row in rows], "json" if as_json else "table")


@app.command()
def retire(topic: Topic, by: By = None, store: StoreOption = None) -> None:
    """Say that nothing will come of a topic any more, so that it holds nothing back.

    What it has counted stays. A run that reads a retired topic is refused until it is revived.

    For example:

        tally source retire usage-old
    """
    _decide(topic, by, store, retired=True)
    say(f"{topic} is retired: it holds complete_to back no longer")


@app.command()
def revive(topic: Topic, by: By = None, store: StoreOption = None) -> None:
    """Take back that a topic is retired, so that it can be read again.

    For example:

        tally source revive usage-old
    """
    _decide(topic, by, store, retired=False)
    say(f"{topic} is in use again")


def _decide(topic: str, by: str | None, store: str | None, *, retired: bool) -> None:
    from dataflows.sources.base import wall_clock  # noqa: PLC0415
    from sinks.store import open_store  # noqa: PLC0415 - loads the engine

    with open_store(load_settings(store=store).store, create=False) as opened:
        known = sorted({log.topic for log in opened.progress()})
        if topic not in known:
            raise SettingsError(
                f"topic {topic!r}: the store knows no such topic; it knows {', '.join(known) or 'none'}"
            )
        who = by or f"{getpass.getuser()}@{socket.gethostname()}"
        opened.decide_topic(topic, retired=retired, decided_at=wall_clock(), decided_by=who)
