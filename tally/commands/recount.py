"""`tally recount`: recount a range of a raw log in plain SQL, and compare it row by row."""

import time
from typing import Annotated, Final

import typer

from schemas.errors import SettingsError
from schemas.log import LogId
from sinks.store import open_store
from tally.commands import options as o
from tally.output import progress_bar, say
from tally.settings import load_settings

DIFFERS: Final = 1
"""The exit status where anything differs, or nothing could be compared."""


def command(
    topic: Annotated[str, typer.Option("--topic", metavar="TOPIC", help="The topic of the log.")],
    partition: Annotated[
        str, typer.Option("--partition", metavar="PARTITION", help="The partition, or a file's path.")
    ],
    from_offset: Annotated[
        int | None,
        typer.Option(
            "--from-offset", metavar="OFFSET", min=0, help="The first offset.", show_default="where metering began"
        ),
    ] = None,
    to_offset: Annotated[
        int | None,
        typer.Option(
            "--to-offset",
            metavar="OFFSET",
            min=0,
            help="One past the last offset.",
            show_default="all that was metered",
        ),
    ] = None,
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
) -> None:
    """Recount a range of a raw log in plain SQL, compare it row by row, and exit 1 if anything differs.

    For example:

        tally recount --topic usage --partition 0

        tally recount --topic usage --partition 0 --from-offset 1000000 --to-offset 2000000 --json

    The records are read again and loaded into ClickHouse's engine, where
    plain SQL decodes, deduplicates, windows and sums them: neither the
    decoder nor the meter takes part. The log must still be there, and the
    settings must be those of the run. A range in the middle of a topic is
    read from a horizon before it on; rows that reach beyond the range are
    not compared. Ids that came again after the dedupe horizon are counted,
    so that its length can be judged.
    """
    given = {
        name: value
        for name, value in locals().items()
        if name not in {"topic", "partition", "from_offset", "to_offset", "as_json", "format_"}
    }
    settings = load_settings(**given, format=format_)
    metering = settings.meter_settings()
    from tally.explain import settings_of  # noqa: PLC0415 - loaded where it is used
    from tally.recount.run import recount  # noqa: PLC0415
    from tally.recount.showing import print_recount  # noqa: PLC0415
    from tally.recount.stretch import stretch_of  # noqa: PLC0415
    from tally.rereading import reopen  # noqa: PLC0415

    with open_store(settings.store, create=False) as opened:
        opened.check_version()
        log = LogId(topic, partition)
        generations = [one for one in opened.progress_of_all_generations(topic) if one.log == log]
        if not generations:
            raise SettingsError(
                f"{log}: the store knows of no such log; `tally reconcile --json` lists those that it has"
            )
        again = reopen(generations[0], settings, lambda: time.time_ns() // 1_000, say)
        stretch = stretch_of(generations, from_offset, to_offset, again, metering)
        with progress_bar() as bar:
            task = bar.add_task("reading", total=None)
            found = recount(
                opened,
                stretch,
                again,
                settings_of(metering, stretch.generation),
                on_step=lambda what, done, of: bar.update(task, description=what, completed=done, total=of or None),
            )
    print_recount(found, as_json=as_json)
    if found.differences or found.first is None:
        raise typer.Exit(DIFFERS)
