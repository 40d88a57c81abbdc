"""`tally reconcile`: check every law that must hold between what was read, counted, kept and billed."""

import time
from typing import Annotated, Final

import typer

from sinks.store import open_store
from tally.commands import options as o
from tally.output import progress_bar, say
from tally.settings import load_settings
from tally.usage import read_bound

DIFFERS: Final = 1
"""The exit status where anything differs."""


def command(
    since: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="TIME", help="Only windows that start at or after this: a date (UTC) or RFC 3339."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Only windows that start before this.")
    ] = None,
    topic: Annotated[str | None, typer.Option("--topic", metavar="TOPIC", help="Only the logs of this topic.")] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source", metavar="SOURCE", help="Where the logs are now, if not where they were read; may be repeated."
        ),
    ] = None,
    ask_logs: Annotated[bool, typer.Option("--logs/--no-logs", help="Ask the logs themselves.")] = True,
    keep_result: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Keep the result in the table reconciliations.")
    ] = True,
    as_json: o.JsonOption = False,
    store: o.StoreOption = None,
    window: o.WindowOption = None,
    trust_producer_time: o.TrustProducerTimeOption = None,
    kafka: o.KafkaOption = None,
    otlp_endpoint: o.OtlpEndpointOption = None,
) -> None:
    """Check every law that must hold, print both sides of each, and exit 1 if anything differs.

    For example:

        tally reconcile

        tally reconcile --from 2026-11-01 --to 2026-12-01 --json

        tally reconcile --otlp-endpoint http://collector:4318

    Each event that was read is accepted, a duplicate, not billable or
    rejected; what was accepted is in the usage rows; what was rejected in
    the dead letters; what producers say they sent has arrived; statements
    are made of usage and add up. What is not there yet (a run is going on,
    a minute is not complete) is named as in flight, and a statement from
    before its usage grew as stale: neither is a difference.

    --from and --to bound what has a window: the views, control totals,
    and the periods of statements. Progress counts a log's whole life.

    With an OTLP endpoint the differences of each law are sent there as
    metrics, for an alert. A collector that is away changes nothing else.
    """
    settings = load_settings(
        store=store,
        window=window,
        trust_producer_time=trust_producer_time,
        kafka=kafka,
        otlp_endpoint=otlp_endpoint,
    )
    from tally.reconcile.asking import Asked, Asking  # noqa: PLC0415 - loaded where it is used
    from tally.reconcile.keeping import keep  # noqa: PLC0415
    from tally.reconcile.log_laws import Logs  # noqa: PLC0415
    from tally.reconcile.run import reconcile  # noqa: PLC0415
    from tally.reconcile.showing import print_reconciliation  # noqa: PLC0415

    def clock() -> int:
        return time.time_ns() // 1_000

    asked = Asked(
        start=None if since is None else read_bound(since, "--from"),
        end=None if until is None else read_bound(until, "--to"),
        topic=topic,
    )
    logs = Logs(settings, clock, say, tuple(source or ())) if ask_logs else None
    with open_store(settings.store, create=False) as opened:
        with progress_bar() as bar:
            task = bar.add_task("reconciling", total=None)
            step = Asking(
                opened, asked, at=clock(), window=settings.window, on_step=lambda at: bar.update(task, description=at)
            )
            found = reconcile(step, logs)
        if keep_result:
            keep(opened, found)
    if settings.otlp_endpoint is not None:
        from tally.telemetry.reconciled import send  # noqa: PLC0415 - loads OpenTelemetry

        send(found, settings.otlp_endpoint)
    print_reconciliation(found, as_json=as_json)
    if found.differences:
        raise typer.Exit(DIFFERS)
