"""Options that commands share, to be used as `def command(store: StoreOption = None, as_json: JsonOption = False)`.

Those of a setting take text and are None when not given: `load_settings(store=store)` reads and judges them.
"""

from typing import Annotated, Any, Final

import typer

from tally.setting_sources import flag, variable
from tally.settings import Settings

METERING: Final = "What is counted, and how"
KAFKA: Final = "Kafka"
RUNNING: Final = "How it runs"
WATCHING: Final = "How it is watched"


def setting(name: str, metavar: str | None = None, panel: str | None = None) -> Any:
    """Return the typer option of a setting, with its description as help."""
    field = Settings.model_fields[name]
    switch = field.annotation is bool
    written = f"{flag(name)}/--no-{flag(name)[2:]}" if switch else flag(name)
    described = f"{field.description} ({variable(name)})"
    return typer.Option(
        written,
        help=described.replace("[", "\\["),
        metavar=None if switch else metavar or "TEXT",
        rich_help_panel=panel,
        show_default=False,
    )


StoreOption = Annotated[str | None, setting("store", "URL")]
NameOption = Annotated[str | None, setting("name", "TOPIC")]
FormatOption = Annotated[str | None, setting("format", "FORMAT")]

CatalogueOption = Annotated[str | None, setting("catalogue", "FILE", METERING)]
GroupByProjectOption = Annotated[bool | None, setting("group_by_project", None, METERING)]
GroupByOption = Annotated[list[str] | None, setting("group_by", "ATTRIBUTE", METERING)]
WindowOption = Annotated[str | None, setting("window", "DURATION", METERING)]
AllowedLatenessOption = Annotated[str | None, setting("allowed_lateness", "DURATION", METERING)]
DedupeBucketOption = Annotated[str | None, setting("dedupe_bucket", "DURATION", METERING)]
DedupeHorizonOption = Annotated[str | None, setting("dedupe_horizon", "DURATION", METERING)]
MaxFutureOption = Annotated[str | None, setting("max_future", "DURATION", METERING)]
MaxAgeOption = Annotated[str | None, setting("max_age", "DURATION", METERING)]
AsOfOption = Annotated[str | None, setting("as_of", "INSTANT", METERING)]

TrustProducerTimeOption = Annotated[bool | None, setting("trust_producer_time", None, KAFKA)]
KafkaOption = Annotated[list[str] | None, setting("kafka", "KEY=VALUE", KAFKA)]
UntilEndOption = Annotated[bool | None, setting("until_end", None, KAFKA)]
ConsumerGroupOption = Annotated[str | None, setting("consumer_group", "NAME", KAFKA)]

DedupeMaxBytesOption = Annotated[str | None, setting("dedupe_max_bytes", "SIZE", RUNNING)]
FlushIntervalOption = Annotated[str | None, setting("flush_interval", "DURATION", RUNNING)]
BatchBytesOption = Annotated[str | None, setting("batch_bytes", "SIZE", RUNNING)]
StorePatienceOption = Annotated[str | None, setting("store_patience", "DURATION", RUNNING)]
AgainOption = Annotated[bool | None, setting("again", None, RUNNING)]
AcceptGapOption = Annotated[bool | None, setting("accept_gap", None, RUNNING)]

MaxRejectedRatioOption = Annotated[str | None, setting("max_rejected_ratio", "PERCENT", RUNNING)]
MaxRejectedInRowOption = Annotated[str | None, setting("max_rejected_in_row", "N", RUNNING)]

MetricsAddressOption = Annotated[str | None, setting("metrics_address", "HOST:PORT", WATCHING)]
OtlpEndpointOption = Annotated[str | None, setting("otlp_endpoint", "URL", WATCHING)]
TracesOption = Annotated[bool | None, setting("traces", None, WATCHING)]
StallAfterOption = Annotated[str | None, setting("stall_after", "DURATION", WATCHING)]
LogFormatOption = Annotated[str | None, setting("log_format", "FORMAT", WATCHING)]
LogLevelOption = Annotated[str | None, setting("log_level", "LEVEL", WATCHING)]

BookOption = Annotated[str | None, setting("book", "FILE")]
ContractsOption = Annotated[str | None, setting("contracts", "FILE")]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")]
