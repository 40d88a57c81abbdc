"""What `tally run` can read: a file, a folder of files, standard input, a Kafka topic."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from dataflows.sources.base import Source
from dataflows.sources.files import FileSource
from dataflows.sources.kafka import KafkaSource
from dataflows.sources.stdin import StdinSource
from schemas.errors import SettingsError
from tally.settings import Settings

FORMS: Final = "a file, a folder, - (standard input) or kafka://host:port/topic"


def open_sources(
    settings: Settings,
    clock: Callable[[], int],
    on_wait: Callable[[str], None],
    should_stop: Callable[[], bool] = lambda: False,
) -> Sequence[Source]:
    """Return the sources that the settings name. Nothing is asked of a broker yet.

    `clock` (microseconds UTC) dates sights of a log's end, `on_wait` takes a message while a broker is away,
    `should_stop` ends the wait for standard input's first bytes. Raises SettingsError.
    """
    if not settings.sources:
        raise SettingsError(f"nothing to read: name {FORMS}")
    if settings.name is not None and len(settings.sources) > 1:
        raise SettingsError("--name names one source: read several in runs of their own, or without it")
    return [_source(text, settings, clock, on_wait, should_stop) for text in settings.sources]


def _source(
    text: str,
    settings: Settings,
    clock: Callable[[], int],
    on_wait: Callable[[str], None],
    should_stop: Callable[[], bool],
) -> Source:
    if text == "-":
        if settings.name is None:
            raise SettingsError("standard input has no name: give one with --name, the same whenever it goes on")
        return StdinSource(
            sys.stdin.buffer,
            name=settings.name,
            batch_bytes=settings.batch_bytes,
            clock=clock,
            should_stop=should_stop,
        )
    if text.startswith("kafka:"):
        return _kafka(text, settings, clock, on_wait)
    if "://" in text:
        raise SettingsError(f"source {text!r}: no such kind of source; name {FORMS}")
    return FileSource(Path(text), name=settings.name, batch_bytes=settings.batch_bytes, clock=clock)


def _kafka(text: str, settings: Settings, clock: Callable[[], int], on_wait: Callable[[str], None]) -> KafkaSource:
    parts = urlsplit(text)
    bootstrap, topic = parts.netloc, parts.path.strip("/")
    if not bootstrap or not topic or "/" in topic or "@" in bootstrap or parts.query or parts.fragment:
        raise SettingsError(
            f"source {text.rpartition('@')[2]!r}: write kafka://host:port/topic (several brokers with commas); "
            "TLS and SASL are kafka properties (--kafka, or the table [kafka] of tally.toml)"
        )
    if settings.name is not None:
        raise SettingsError("--name is for a file, a folder or standard input: a topic has its name")
    return KafkaSource(
        bootstrap,
        topic,
        trust_producer_time=settings.trust_producer_time,
        properties=dict(settings.kafka),
        batch_bytes=settings.batch_bytes,
        until_end=settings.until_end,
        clock=clock,
        on_wait=on_wait,
    )
