"""What a person can set, in one place: flags, else the environment (`TALLY_*`), else `tally.toml`, else defaults.

    settings = load_settings(store="chdb:./tally-data", window="5min")
    settings.meter_settings()

`load_settings` finds every problem before it complains, and says of each where the value came from. Secrets are in
the values, never in what is shown: `shown()`, `repr()` and messages mask them.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from schemas.catalogue import load_catalogue
from schemas.errors import SettingsError
from schemas.metering import MeterSettings
from tally import setting_values as values
from tally.setting_sources import EnvironmentSource, FileSource, Origins, explain
from tally.units import SECOND

Duration = Annotated[int, BeforeValidator(values.duration)]
PositiveDuration = Annotated[int, BeforeValidator(values.positive_duration)]
Window = Annotated[int, BeforeValidator(values.window)]
Patience = Annotated[int | None, BeforeValidator(values.patience)]
Size = Annotated[int, BeforeValidator(values.size)]
Instant = Annotated[int | None, BeforeValidator(values.instant)]
Ratio = Annotated[int | None, BeforeValidator(values.ratio)]
Count = Annotated[int | None, BeforeValidator(values.count)]
Address = Annotated[str | None, BeforeValidator(values.address)]
Group = Annotated[str | None, BeforeValidator(values.group)]
OtlpEndpoint = Annotated[str | None, BeforeValidator(values.endpoint)]
Names = Annotated[tuple[str, ...], BeforeValidator(values.names)]
Properties = Annotated[dict[str, str], BeforeValidator(values.properties)]
StoreAddress = Annotated[str, BeforeValidator(values.store)]
Format = Annotated[str, BeforeValidator(values.format_name)]
File = Annotated[Path | None, BeforeValidator(values.path)]


class Settings(BaseSettings):
    """Every setting. Durations are whole microseconds, sizes bytes, instants microseconds since 1970 UTC."""

    model_config = SettingsConfigDict(
        env_prefix="TALLY_",
        env_ignore_empty=True,
        enable_decoding=False,
        extra="forbid",
        frozen=True,
        validate_default=False,  # defaults are written in microseconds and bytes, which a reader takes for seconds
    )

    store: StoreAddress = Field(
        default="chdb:./tally-data",
        description="Where usage is kept: `chdb:FOLDER` (embedded), `clickhouse://user:password@host:8123/database` "
        "or `clickhouses://…` (TLS). The password is a secret: prefer the environment to a flag.",
    )
    sources: Names = Field(
        default=(),
        description="What `tally run` reads when no argument says so: files, folders, `-` or `kafka://host:port/topic`.",
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="The topic under which a file, a folder or standard input is counted; by default its own name.",
    )
    format: Format = Field(
        default="tally", description="The wire format of the events: `tally`, `sentry-outcomes` or `cloudevents`."
    )
    catalogue: File = Field(
        default=None, description="A category catalogue (YAML); by default Sentry's 39 data categories."
    )
    group_by_project: bool = Field(default=False, description="Count each project of an organisation apart.")
    group_by: Names = Field(default=(), description="Attributes whose values are counted apart.")
    window: Window = Field(default=60 * SECOND, description="Length of a usage window; it must divide 15 minutes.")
    allowed_lateness: Duration = Field(
        default=120 * SECOND, description="How long a window stays open for events that are out of order."
    )
    dedupe_bucket: PositiveDuration = Field(
        default=60 * SECOND, description="The step in which the dedupe horizon moves."
    )
    dedupe_horizon: PositiveDuration = Field(
        default=600 * SECOND,
        description="How long an event id is remembered, at the least; a whole number of buckets.",
    )
    max_future: Duration = Field(
        default=300 * SECOND, description="An event further ahead of its log's clock than this is rejected."
    )
    max_age: PositiveDuration = Field(
        default=90 * 86_400 * SECOND, description="An event older than this by its log's clock is rejected."
    )
    as_of: Instant = Field(
        default=None,
        description="The instant (RFC 3339) that stands for the clock when a file's events are checked for age; "
        "without it a file's events are not checked.",
    )
    trust_producer_time: bool = Field(
        default=False, description="Read a Kafka topic whose timestamps its producers set (`CreateTime`)."
    )
    dedupe_max_bytes: Size = Field(
        default=1 << 30, description="Memory that one log's dedupe index may take; at the bound the run stops."
    )
    flush_interval: PositiveDuration = Field(
        default=SECOND, description="How often usage and progress are written to the store."
    )
    batch_bytes: Size = Field(default=4 << 20, description="About how much is read from a log at a time.")
    kafka: Properties = Field(
        default_factory=dict,
        description="librdkafka properties for TLS, SASL and tuning: a table in the file, a JSON object in the "
        "environment, `--kafka key=value` as a flag. Passwords and keys are secrets.",
    )
    until_end: bool = Field(
        default=False, description="Stop a Kafka run at the ends that the topic had when the run began."
    )
    consumer_group: Group = Field(
        default="tally-{topic}",
        description="Progress on a Kafka topic is committed as this consumer group's offsets too, for lag tools; a run "
        "never reads them. `{topic}` is the topic's name; `off` commits nothing.",
    )
    again: bool = Field(
        default=False, description="Count a file whose content was counted under another name already once more."
    )
    accept_gap: bool = Field(
        default=False,
        description="Go on where records were deleted before they were counted; `tally reconcile` shows the gap for "
        "ever.",
    )
    store_patience: Patience = Field(
        default=None, description="How long a run waits for a store that is away; `forever`, or a duration."
    )
    max_rejected_ratio: Ratio = Field(
        default=500_000,
        description="A run stops where more than this part of a log is rejected, over 10,000 events or more; "
        "a percentage, or `off`.",
    )
    max_rejected_in_row: Count = Field(
        default=100_000,
        description="A run stops where this many events of a log, one after the other, are rejected; or `off`.",
    )
    metrics_address: Address = Field(
        default=None,
        description="Serve /metrics (Prometheus), /healthz and /readyz here: `host:port`, or a port of 127.0.0.1. "
        "Process i of a cluster takes the port + i.",
    )
    otlp_endpoint: OtlpEndpoint = Field(
        default=None,
        description="Send metrics to this OpenTelemetry collector, over OTLP/HTTP: a URL, as in "
        "`http://127.0.0.1:4318`. Its password is a secret.",
    )
    traces: bool = Field(
        default=False,
        description="Send a trace of every flush to `otlp_endpoint` as well.",
    )
    stall_after: PositiveDuration = Field(
        default=30 * SECOND,
        description="How long a flow may stand still, or its store be away, until /readyz says so.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="How messages are written on stderr: `text` for people, `json` for machines."
    )
    log_level: Literal["info", "debug"] = Field(
        default="info", description="`debug` tells of every log that is flushed, with its offset."
    )
    book: File = Field(default=None, description="The price book (YAML) that `tally rate` prices by.")
    contracts: File = Field(default=None, description="The contracts (YAML) that `tally rate` bills by.")

    _origins: Origins = PrivateAttr(default_factory=Origins)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - one that keeps what cannot be read stands for it
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - secrets files of other programs are not ours
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, the strongest first."""
        return init_settings, EnvironmentSource(settings_cls), FileSource(settings_cls)

    @model_validator(mode="after")
    def _relations(self) -> Self:
        problems = []
        if self.dedupe_horizon % self.dedupe_bucket:
            problems.append(("dedupe_horizon", "must be a whole number of dedupe_bucket"))
        if problems:
            raise ValidationError.from_exception_data(
                type(self).__name__,
                [
                    InitErrorDetails(
                        type=PydanticCustomError("relation", "{text}", {"text": text}),
                        loc=(field,),
                        input=getattr(self, field),
                    )
                    for field, text in problems
                ],
            )
        return self

    def meter_settings(self) -> MeterSettings:
        """Return the settings that the meter's answer depends on. Reads the catalogue; raises SettingsError."""
        return MeterSettings(
            catalogue=load_catalogue(self.catalogue),
            format=self.format,
            group_by_project=self.group_by_project,
            group_by=self.group_by,
            window=self.window,
            allowed_lateness=self.allowed_lateness,
            bucket=self.dedupe_bucket,
            horizon_buckets=self.dedupe_horizon // self.dedupe_bucket,
            max_future=self.max_future,
            max_age=self.max_age,
            as_of=self.as_of,
            trust_producer_time=self.trust_producer_time,
            dedupe_max_bytes=self.dedupe_max_bytes,
        )

    def shown(self) -> dict[str, Any]:
        """Return every setting as a person would write it, secrets masked: plain JSON values."""
        return {name: values.show(name, getattr(self, name)) for name in type(self).model_fields}

    def origin(self, name: str) -> str:
        """Say where a setting's value came from: a flag, an environment variable, a file, or `default`."""
        return self._origins.of(name)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Keep secrets out of logs and tracebacks."""
        return list(self.shown().items())


def load_settings(**flags: Any) -> Settings:
    """Return the settings in force. A flag that is None or an empty list was not given.

    Raises SettingsError with every problem: unknown keys of tally.toml (with the nearest known one), values that
    cannot be read, limits that contradict each other. Nothing is opened and the catalogue is not read.
    """
    given = {name: value for name, value in flags.items() if value is not None and value not in ([], ())}
    unknown = sorted(given.keys() - Settings.model_fields.keys())
    assert not unknown, f"no such settings: {unknown}"
    if "kafka" in given:
        given["kafka"] = values.properties_of_flags(given["kafka"])
    origins = Origins.find(Settings, given)
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise SettingsError(explain(error, origins, Settings)) from None
    settings._origins = origins
    return settings
