"""What `tally generate` does, apart from reading its options: which target, which spec, what to print."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from schemas.errors import SettingsError
from tally.generate.expected import Expected, expected_path
from tally.generate.files import generate_file, generate_folder
from tally.generate.spec import TrafficSpec
from tally.generate.traffic import ShowProgress
from tally.settings import Settings
from tally.units import read_duration
from tally.usage import read_bound

FOLDER_PARTITIONS: Final = 4
ARROW_PER_RECORD: Final = 1_000


def spec_of(settings: Settings, given: Mapping[str, Any], now: int) -> TrafficSpec:
    """Return the spec of the options given (None: not given). `now`: microseconds UTC, for `--start now`."""
    fields = {name: value for name, value in given.items() if value is not None}
    if "start" in fields:
        fields["start"] = now if fields["start"] == "now" else read_bound(fields["start"], "--start")
    if "span" in fields:
        try:
            fields["span"] = read_duration(fields["span"])
        except ValueError as error:
            raise SettingsError(f"--span: {error}") from None
    if "categories" in fields:
        names = [name.strip() for text in fields["categories"] for name in text.split(",")]
        fields["categories"] = tuple(name for name in names if name)
    if fields.pop("arrow", False):
        fields.setdefault("per_record", ARROW_PER_RECORD)
        fields["packing"] = "arrow"
    return TrafficSpec(**fields, format=settings.format, meter=settings.meter_settings())  # type: ignore[arg-type]


def generate(
    target: str,
    spec: TrafficSpec,
    settings: Settings,
    progress: ShowProgress,
    *,
    partitions: int | None,
    expected: Path | None,
    force: bool,
    create: bool,
) -> tuple[Expected, Path]:
    """Write traffic to a file, a folder or a topic; return the expectation and where it was written."""
    if partitions is not None:
        spec = replace(spec, partitions=partitions)
    if target.startswith("kafka:"):
        return _topic(target, spec, settings, progress, expected, force=force, create=create)
    if "://" in target or target == "-":
        raise SettingsError(f"target {target!r}: name a file, a folder (with a trailing /) or kafka://host:port/topic")
    if create:
        raise SettingsError("--create-topic is for a topic")
    path = Path(target)
    kept = expected or expected_path(path)
    if target.endswith("/") or path.is_dir() or spec.partitions > 1:
        spec = replace(spec, partitions=partitions or FOLDER_PARTITIONS)
        return generate_folder(path, spec, progress, force=force, expected=kept), kept
    return generate_file(path, spec, progress, force=force, expected=kept), kept


def _topic(
    target: str,
    spec: TrafficSpec,
    settings: Settings,
    progress: ShowProgress,
    expected: Path | None,
    *,
    force: bool,
    create: bool,
) -> tuple[Expected, Path]:
    from tally.generate.topic import generate_topic  # noqa: PLC0415 - loads the Kafka client

    parts = urlsplit(target)
    topic = parts.path.strip("/")
    if not parts.netloc or not topic or "/" in topic or "@" in parts.netloc or parts.query or parts.fragment:
        raise SettingsError(f"target {target.rpartition('@')[2]!r}: write kafka://host:port/topic")
    kept = expected or Path(f"{topic}.expected.json")
    if kept.exists() and not force:
        raise SettingsError(f"{kept}: exists already; name another file with --expected, or --force to replace it")
    found = generate_topic(
        parts.netloc, topic, spec, progress, create=create, append=force, properties=dict(settings.kafka)
    )
    found.save(kept)
    return found, kept
