"""`tally explain`: what became of one record, and in which usage row it is."""

import time
from typing import Annotated

import typer

from sinks.store import open_store
from tally.commands import options as o
from tally.output import print_json, progress_bar, say
from tally.positions import FORM, find_position
from tally.settings import load_settings


def command(
    position: Annotated[str, typer.Argument(metavar="POSITION", help=f"{FORM}.")],
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
) -> None:
    """Read a record again and say what became of it, and which usage row it is in.

    For example:

        tally explain usage/0/4711

        tally explain traffic/2026-11/day-22.ndjson/88213 --json

    The log is metered again up to the record, by the meter that counted
    it, and the answer is compared with what the store has: so the log must
    still be there, and the settings must be those of the run. An offset of
    a file is the byte at which a line starts.
    """
    given = {name: value for name, value in locals().items() if name not in {"position", "as_json", "format_"}}
    settings = load_settings(**given, format=format_)
    metering = settings.meter_settings()
    from dataflows.decode import Decoder  # noqa: PLC0415 - compiled code, loaded where it is used
    from tally.explain import explain  # noqa: PLC0415
    from tally.fate_views import as_json_value, as_text  # noqa: PLC0415
    from tally.rereading import reopen  # noqa: PLC0415

    with open_store(settings.store, create=False) as opened:
        opened.check_version()
        place = find_position(opened, position)
        again = reopen(opened.progress(place.log.topic)[place.log], settings, lambda: time.time_ns() // 1_000, say)
        with progress_bar() as bar:
            task = bar.add_task("metering again", total=None)
            found = explain(
                opened,
                metering,
                place,
                again,
                Decoder,
                on_read=lambda done, of: bar.update(task, completed=done, total=of),
            )
    if as_json:
        print_json(as_json_value(found))
    else:
        print(as_text(found))
