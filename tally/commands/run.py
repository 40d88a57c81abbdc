"""`tally run`: read usage events, count them once each, write usage."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.errors import SettingsError
from tally.commands import options as o
from tally.output import print_json, print_rows, say
from tally.settings import load_settings
from tally.telemetry import logs
from tally.units import read_duration

if TYPE_CHECKING:
    from tally.running import RunSummary

COLUMNS = ("topic", "partition", "records", "events", "accepted", "late", "duplicates", "not billable", "rejected")
LISTED = 20
"""Logs that the summary lists one by one."""


def command(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE…", help="A file, a folder of files, - (standard input), kafka://host:port/topic."
        ),
    ] = None,
    store: o.StoreOption = None,
    name: o.NameOption = None,
    format_: o.FormatOption = None,
    as_json: o.JsonOption = False,
    processes: Annotated[
        int,
        typer.Option(min=1, max=256, help="Processes to spread the logs over, as one Bytewax cluster on this machine."),
    ] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    progress_every: Annotated[
        str, typer.Option(metavar="DURATION", help="How often to say how far it is where stderr is no terminal.")
    ] = "10s",
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
    until_end: o.UntilEndOption = None,
    trust_producer_time: o.TrustProducerTimeOption = None,
    kafka: o.KafkaOption = None,
    consumer_group: o.ConsumerGroupOption = None,
    dedupe_max_bytes: o.DedupeMaxBytesOption = None,
    flush_interval: o.FlushIntervalOption = None,
    batch_bytes: o.BatchBytesOption = None,
    store_patience: o.StorePatienceOption = None,
    max_rejected_ratio: o.MaxRejectedRatioOption = None,
    max_rejected_in_row: o.MaxRejectedInRowOption = None,
    again: o.AgainOption = None,
    accept_gap: o.AcceptGapOption = None,
    metrics_address: o.MetricsAddressOption = None,
    otlp_endpoint: o.OtlpEndpointOption = None,
    traces: o.TracesOption = None,
    stall_after: o.StallAfterOption = None,
    log_format: o.LogFormatOption = None,
    log_level: o.LogLevelOption = None,
) -> None:
    """Read usage events, count each of them once, and write usage to the store.

    Files end the run; a Kafka topic is read until the run is stopped (SIGTERM or Ctrl-C: it flushes and exits 0), or
    with --until-end to the ends that the topic has now. A run that was stopped or killed anywhere is simply started
    again: it goes on where the store says, and the totals are those of an undisturbed run.

    For example:

        tally run events.ndjson --store chdb:./tally-data

        tally run traffic/ --format sentry-outcomes

        tally run kafka://broker:9092/usage --store clickhouse://tally@db:8123/tally

        zcat old.ndjson.gz | tally run - --name old
    """
    given = dict(locals())
    flags: dict[str, Any] = {
        name: value
        for name, value in given.items()
        if name not in {"as_json", "processes", "quiet", "progress_every", "format_"}
    }
    flags["format"] = format_
    settings = load_settings(**flags)
    logs.set_up(settings.log_format, settings.log_level)
    every = _duration(progress_every)
    if processes > 1:
        from tally.cluster import run_cluster  # noqa: PLC0415 - loads the engine

        summary = run_cluster(settings, flags, processes, quiet=quiet, every=every)
    else:
        from dataflows.reading import Control  # noqa: PLC0415 - loads the engine
        from tally.running import Watch, run_here  # noqa: PLC0415
        from tally.watching import showing  # noqa: PLC0415
        from tally.wiring import drain_on_signals  # noqa: PLC0415

        control = Control()
        drain_on_signals(control)
        with showing(quiet=quiet, every=every) as show:
            summary = run_here(settings, control, Watch(on_wrote=show))
    _print(summary, as_json=as_json)


def _duration(text: str) -> int:
    try:
        return read_duration(text)
    except ValueError as error:
        raise SettingsError(f"--progress-every: {error}") from error


def _print(summary: "RunSummary", *, as_json: bool) -> None:
    from tally.units import show_instant  # noqa: PLC0415

    complete_to = None if summary.complete_to is None else show_instant(summary.complete_to)
    if as_json:
        logs = [
            {"topic": log.topic, "partition": log.partition, **counts.as_json()}
            for log, counts in sorted(summary.counts.items())
        ]
        print_json(
            {
                "logs": logs,
                "total": summary.total.as_json(),
                "finished_before": summary.finished_before,
                "complete_to": complete_to,
            }
        )
        return
    rows = [(log.topic, log.partition, *_figures(counts)) for log, counts in sorted(summary.counts.items())]
    if len(rows) > LISTED:
        say(f"{len(rows)} logs were read; --json lists them one by one")
        rows = []
    if len(summary.counts) != 1:
        rows.append(("total", "", *_figures(summary.total)))
    print_rows(COLUMNS, rows, "table")
    for what, reasons in (("rejected", summary.total.rejected), ("not billable", summary.total.not_billable)):
        if reasons:
            print(f"{what}: " + ", ".join(f"{reason} {n:,}" for reason, n in reasons.most_common()))
    if summary.finished_before:
        print(f"{summary.finished_before:,} files had been counted to their end before")
    print(f"complete_to: {complete_to or 'not known yet'}")
    sys.stdout.flush()


def _figures(counts: Any) -> tuple[int, ...]:
    return (
        counts.records,
        counts.events,
        counts.accepted,
        counts.late,
        counts.duplicates,
        counts.not_billable.total(),
        counts.rejected.total(),
    )
