"""`tally controls`: producers' reports on what they sent."""

import signal
import time
from types import FrameType
from typing import Annotated

import typer

from schemas.errors import SettingsError
from tally.commands import options as o
from tally.output import print_json, print_rows, say
from tally.settings import load_settings

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    no_args_is_help=True,
    help="""Read what producers say that they sent, to be compared with what arrived.

    Producers report totals to a topic of their own; `tally reconcile`
    compares them with usage.

    For example:

        tally controls read kafka://broker:9092/usage.controls
    """,
)

COLUMNS = ("topic", "records", "totals", "instances", "removed", "malformed")


@app.callback()
def controls() -> None:
    """Hold the commands of this group."""


@app.command()
def read(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="kafka://host:port/topic, the topic of reports.")],
    store: o.StoreOption = None,
    until_end: o.UntilEndOption = None,
    kafka: o.KafkaOption = None,
    flush_interval: o.FlushIntervalOption = None,
    store_patience: o.StorePatienceOption = None,
    as_json: o.JsonOption = False,
) -> None:
    """Read producers' reports into the store, on from where it stopped.

    For example:

        tally controls read kafka://broker:9092/usage.controls --until-end

    It reads until it is stopped (SIGTERM or Ctrl-C: it writes what it has
    and exits 0), or with --until-end to the ends that the topic has now.
    Reports are totals, so reading them twice changes nothing. A record
    that is no report is told, and kept in control_dead_letters.

    An embedded store is open in one process at a time: beside a run, read
    through `tally serve`.
    """
    settings = load_settings(
        store=store,
        sources=[source],
        until_end=until_end,
        kafka=kafka,
        flush_interval=flush_interval,
        store_patience=store_patience,
        trust_producer_time=True,  # the time of a record is not looked at
    )
    if not source.startswith("kafka:"):
        raise SettingsError(f"source {source!r}: reports are read from kafka://host:port/topic")
    from dataflows.sources.base import wall_clock  # noqa: PLC0415 - loads the client
    from sinks.retry import Retrying  # noqa: PLC0415
    from sinks.store import open_store  # noqa: PLC0415
    from tally.controls import ControlsReader  # noqa: PLC0415
    from tally.sources import open_sources  # noqa: PLC0415

    stop = _Stop()
    (opened,) = open_sources(settings, wall_clock, say)
    patience = None if settings.store_patience is None else settings.store_patience / 1_000_000
    with open_store(settings.store) as kept:
        kept.migrate()
        kept.retrying = Retrying(patience=patience, on_wait=say, should_stop=stop.over)
        found = ControlsReader(
            opened, kept, every=settings.flush_interval, clock=wall_clock, stopping=stop.asked, tell=say
        ).run()
    row = (source.rpartition("/")[2], found.records, found.totals, found.instances, found.removed, found.malformed)
    if as_json:
        print_json(dict(zip(COLUMNS, row, strict=True)))
    else:
        print_rows(COLUMNS, [row], "table")


class _Stop:
    """SIGTERM and SIGINT ask to stop; a second one kills. A store that is away is then waited for a little longer."""

    GRACE = 10.0

    def __init__(self) -> None:
        self._at: float | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        self._at = time.monotonic()

    def asked(self) -> bool:
        """Say whether to write what there is and stop."""
        return self._at is not None

    def over(self) -> bool:
        """Say whether to wait for the store no longer."""
        return self._at is not None and time.monotonic() - self._at >= self.GRACE
