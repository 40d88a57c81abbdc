"""`tally generate`: write realistic traffic, with its exact expected totals."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tally.commands import options as o
from tally.output import print_json, print_rows
from tally.settings import load_settings

TROUBLE = "Trouble, as shares of all events (0 to 1)"
SHAPE = "What the traffic is like"
RECORDS = "How it is written"

SPEC = (
    "events",
    "seed",
    "orgs",
    "zipf",
    "categories",
    "start",
    "span",
    "duplicates",
    "conflicts",
    "malformed",
    "from_the_future",
    "too_old",
    "not_billable",
    "late",
    "out_of_order",
    "keyed_by",
    "per_record",
    "packing",
    "arrow",
    "rate",
    "expected_by",
)
"""The options that make the spec; those that are None are left to it."""
SETTINGS = (
    "catalogue",
    "window",
    "allowed_lateness",
    "dedupe_bucket",
    "dedupe_horizon",
    "max_future",
    "max_age",
    "as_of",
    "kafka",
)


def _option(help_text: str, panel: str, metavar: str = "N", **more: Any) -> Any:
    return typer.Option(help=help_text, rich_help_panel=panel, metavar=metavar, show_default=False, **more)


def _share(help_text: str) -> Any:
    return _option(help_text, TROUBLE, "SHARE")


def command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="A file, a folder of one file a partition (end it with /), kafka://host:port/topic."
        ),
    ],
    events: Annotated[int | None, _option("Events, repeats and malformed ones included (1,000,000).", SHAPE)] = None,
    seed: Annotated[int | None, _option("The same seed and options give the same bytes (1).", SHAPE)] = None,
    format_: o.FormatOption = None,
    orgs: Annotated[int | None, _option("Organisations; number 1 is the largest (1,000).", SHAPE)] = None,
    zipf: Annotated[
        float | None, _option("How unequal they are: sizes fall as 1 / rank ** X (1.1).", SHAPE, "X")
    ] = None,
    categories: Annotated[
        list[str] | None, _option("Only these categories, with commas or given again.", SHAPE, "NAME")
    ] = None,
    start: Annotated[
        str | None,
        _option("Where event time starts: a date, an instant or now (2026-11-01; a topic: near now).", SHAPE, "TIME"),
    ] = None,
    span: Annotated[
        str | None,
        _option("The event time covered (30d; with a rate, as long as it takes; a topic: 10min).", SHAPE, "DURATION"),
    ] = None,
    duplicates: Annotated[float | None, _share("Exact repeats (0.01; sentry-outcomes have no ids: 0).")] = None,
    conflicts: Annotated[float | None, _share("Repeats with another quantity (0.0005; sentry-outcomes: 0).")] = None,
    malformed: Annotated[float | None, _share("Events that no decoder may take, of every kind (0.001).")] = None,
    not_billable: Annotated[float | None, _share("Outcomes that are not billed (sentry-outcomes: 0.05).")] = None,
    late: Annotated[float | None, _share("Events minutes to hours behind (0.005).")] = None,
    out_of_order: Annotated[float | None, _share("Events up to a minute behind (0.05).")] = None,
    from_the_future: Annotated[
        float | None, _share("Events past what the clock allows (0; a file needs --as-of).")
    ] = None,
    too_old: Annotated[float | None, _share("Events older than the clock allows (0; a file needs --as-of).")] = None,
    partitions: Annotated[
        int | None, _option("Files of a folder (4), or partitions of a topic that is created (1).", RECORDS)
    ] = None,
    keyed_by: Annotated[
        str | None,
        _option("What decides the partition: org, or event (org and event id; even partitions).", RECORDS, "KEY"),
    ] = None,
    per_record: Annotated[int | None, _option("Events that share a record (1).", RECORDS)] = None,
    packing: Annotated[
        str | None, _option("How they share it: array; in a topic also ndjson or arrow.", RECORDS, "KIND")
    ] = None,
    arrow: Annotated[bool, typer.Option("--arrow", help="Arrow, 1,000 a record.", rich_help_panel=RECORDS)] = False,
    rate: Annotated[float | None, _option("Events a second (as fast as it can).", RECORDS)] = None,
    expected: Annotated[
        Path | None,
        _option("Where the expected totals go (TARGET.expected.json; a topic: TOPIC.expected.json).", RECORDS, "FILE"),
    ] = None,
    expected_by: Annotated[str | None, _option("Keep expected usage by day or month (day).", RECORDS, "PERIOD")] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace what is there; of a topic: add to it.", rich_help_panel=RECORDS),
    ] = False,
    create_topic: Annotated[
        bool,
        typer.Option("--create-topic", help="Create the topic, with the broker's timestamps.", rich_help_panel=RECORDS),
    ] = False,
    catalogue: o.CatalogueOption = None,
    window: o.WindowOption = None,
    allowed_lateness: o.AllowedLatenessOption = None,
    dedupe_bucket: o.DedupeBucketOption = None,
    dedupe_horizon: o.DedupeHorizonOption = None,
    max_future: o.MaxFutureOption = None,
    max_age: o.MaxAgeOption = None,
    as_of: o.AsOfOption = None,
    kafka: o.KafkaOption = None,
    as_json: o.JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Write realistic traffic, the same for the same seed, with the exact totals that must come out of it.

    Beside the events stands what to expect of them under the metering settings in force: accepted quantity and events
    by organisation, category and day, and what becomes of each partition's events. For a topic all of it but the
    number of late events is exact, which depends on the broker's clock.

    For example:

        tally generate events.ndjson --events 1000000 --seed 7

        tally generate traffic/ --partitions 8 --format sentry-outcomes --late 0.02

        tally generate kafka://broker:9092/usage --create-topic --rate 5000 --events 100000
    """
    given = dict(locals())
    from dataflows.sources.base import wall_clock  # noqa: PLC0415 - loaded when something is generated
    from tally.generate.command import generate, spec_of  # noqa: PLC0415
    from tally.generate.showing import showing  # noqa: PLC0415

    settings = load_settings(format=format_, **{name: given[name] for name in SETTINGS})
    spec = spec_of(settings, {name: given[name] for name in SPEC}, wall_clock())
    with showing(quiet=quiet) as progress:
        found, kept = generate(
            target, spec, settings, progress, partitions=partitions, expected=expected, force=force, create=create_topic
        )
    summary = found.summary()
    if as_json:
        print_json({"target": target, "expected": str(kept), **summary})
        return
    print_rows(("what", "number"), list(summary["counts"].items()), "table")
    print(f"{summary['bytes']:,} bytes in {target}; what must come out of them: {kept}")
