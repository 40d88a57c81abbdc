"""`tally rate`: price a period's usage by contract, print the statements and keep them."""

import datetime as dt
import time
from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from schemas.errors import RatingError, SettingsError
from schemas.period import Period
from schemas.verdicts import MAX_ID
from sinks.store import open_store
from tally.commands import options as o
from tally.output import progress_bar
from tally.rated import Rated
from tally.rating_answer import Answer, print_json_of, print_one, print_summary
from tally.rating_pass import Asked, begin_pass, load_prices
from tally.settings import Settings, load_settings
from tally.telemetry import logs
from tally.units import SECOND, read_duration


def command(
    period: Annotated[
        str | None,
        typer.Option(
            "--period",
            metavar="MONTH",
            help="Rate the periods that begin in this month: 2026-11. With --every the default is what is due.",
        ),
    ] = None,
    org: Annotated[
        int | None,
        typer.Option("--org", metavar="ID", help="Only this organisation: its whole statement.", min=0, max=MAX_ID),
    ] = None,
    book: o.BookOption = None,
    contracts: o.ContractsOption = None,
    again: Annotated[bool, typer.Option("--all", help="Rate what has not changed since the last run, too.")] = False,
    processes: Annotated[
        int, typer.Option("--processes", metavar="N", min=1, max=256, help="Rate in so many processes.")
    ] = 1,
    every: Annotated[
        str | None,
        typer.Option("--every", metavar="DURATION", help="Stay, and begin a pass so often: 10min. Ends by SIGTERM."),
    ] = None,
    progress_every: Annotated[
        str, typer.Option(metavar="DURATION", help="With --every: how often to say how far a pass is.")
    ] = "10s",
    as_json: o.JsonOption = False,
    store: o.StoreOption = None,
    store_patience: o.StorePatienceOption = None,
    metrics_address: o.MetricsAddressOption = None,
    otlp_endpoint: o.OtlpEndpointOption = None,
    stall_after: o.StallAfterOption = None,
    log_format: o.LogFormatOption = None,
) -> None:
    """Price a period's usage by contract: print statements and keep them in the store.

    Rates every organisation that has usage in the month or a contract of its own, for each of its billing periods that
    begin in the month. Prints a line for each, or with --org the whole statement with the arithmetic of each line.
    Rating again rates only what has changed since: usage, price book, contract, or that the period is now complete.
    Usage that cannot be priced (no contract, no price) is told on stderr by name; that organisation's statement is
    then shown as incomplete and not kept, and the exit status is 1. A run that is stopped is simply started again.
    Where a contract has invoice thresholds and its period is still open, usage that has reached one is billed at once,
    by an interim statement that the period's own takes off (`tally statement list`).

    For example:

        tally rate --period 2026-11 --book prices.yaml --contracts contracts.yaml

        tally rate --period 2026-11 --processes 4

        tally rate --period 2026-11 --org 42 --json

        tally rate --every 10min --metrics-address 9465

    With --every it stays, makes one pass after the other, and prints a line for each (--json: an object). Without
    --period it rates the billing periods that have begun, until their usage is complete, and every two hours for 35
    days after their end. Book and contracts are read again when they have changed. A pass that fails by name is told,
    counted, and followed by the next; a store that is away is waited for. SIGTERM ends it after the batch under way.

    With an OTLP endpoint metrics are sent there, of a single run once, as it ends. --metrics-address, --stall-after,
    --store-patience and --log-format are of a rater that stays.
    """
    settings = load_settings(
        store=store,
        book=book,
        contracts=contracts,
        store_patience=store_patience,
        metrics_address=metrics_address,
        otlp_endpoint=otlp_endpoint,
        stall_after=stall_after,
        log_format=log_format,
    )
    month = None if period is None else Period.parse(period)
    window = dt.timedelta(microseconds=settings.window)
    if every is not None:
        if org is not None:
            raise SettingsError("--org is of a single run: with --every everyone is rated; leave one of the two out")
        pace = _duration("--every", every), _duration("--progress-every", progress_every)
        asked = Asked(month or _ANY, again=again, processes=processes, window=window)
        _stay(settings, asked, *pace, fixed=month is not None, as_json=as_json)
        return
    if month is None:
        raise SettingsError("no month given: say which with --period, as in 2026-11, or stay with --every 10min")
    prices = load_prices(settings)
    asked = Asked(month, org, again=again, whole=as_json, processes=processes, window=window)
    began = time.monotonic()
    with open_store(settings.store, create=False) as opened:
        opened.check_version()
        going = begin_pass(opened, prices, asked, rated_at=time.time_ns() // 1_000)
        if org is not None:
            print_one(going.answer, going.ratings, org, as_json=as_json)
        elif as_json:
            print_json_of(going.answer, going.ratings)
        else:
            print_summary(going.answer, _watched(going.ratings))
    going.answer.tell()
    if settings.otlp_endpoint is not None and org is None:
        _send(going.answer, time.monotonic() - began, settings.otlp_endpoint)
    if going.answer.failures or going.answer.outcome.overtaken:
        raise typer.Exit(RatingError.exit_status)


_ANY = Period.month(2000, 1)
"""Stands for the month where the clock says which."""


def _stay(settings: Settings, asked: Asked, every: int, progress_every: int, *, fixed: bool, as_json: bool) -> None:
    from dataflows.reading import Control  # noqa: PLC0415 - loads the engine
    from tally.rating_lines import print_line, print_object  # noqa: PLC0415
    from tally.rating_service import RatingService, Schedule  # noqa: PLC0415
    from tally.telemetry.rater import RaterWatch  # noqa: PLC0415
    from tally.telemetry.rating import open_rater_telemetry  # noqa: PLC0415
    from tally.wiring import drain_on_signals  # noqa: PLC0415

    logs.set_up(settings.log_format)
    control, watch = Control(), RaterWatch()
    drain_on_signals(control)
    telemetry = open_rater_telemetry(settings, control, watch)
    try:
        RatingService(
            settings,
            asked,
            Schedule(every / SECOND),
            control,
            watch,
            fixed=fixed,
            show=print_object if as_json else print_line,
            progress_every=progress_every / SECOND,
        ).run()
    finally:
        telemetry.close()


def _send(answer: Answer, seconds: float, otlp_endpoint: str) -> None:
    from tally.rating_service import counts_of  # noqa: PLC0415 - loads the engine
    from tally.telemetry.rating import send  # noqa: PLC0415 - loads OpenTelemetry

    send("incomplete" if answer.failures else "rated", counts_of([answer], seconds), otlp_endpoint)


def _duration(flag: str, text: str) -> int:
    try:
        found = read_duration(text)
    except ValueError as error:
        raise SettingsError(f"{flag}: {error}") from error
    if found <= 0:
        raise SettingsError(f"{flag}: must be more than zero")
    return found


def _watched(rated: Iterable[Rated]) -> Iterator[Rated]:
    """Pass ratings on, and show how many there were so far."""
    with progress_bar() as bar:
        task = bar.add_task("rating", total=None)
        for count, found in enumerate(rated, 1):
            if count % 1_000 == 0:
                bar.update(task, description=f"rated {count:,}, organisation {found.org_id}")
            yield found
