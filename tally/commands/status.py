"""`tally status`: how far every log is, and whether something is behind."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer

from dataflows.sources.base import wall_clock
from schemas.errors import SettingsError, StoreUnavailable
from sinks.store import open_store
from tally.commands.options import JsonOption, StoreOption
from tally.output import plain, print_json, print_table, say
from tally.settings import load_settings
from tally.status import LogStatus, Status, rates, read_status
from tally.units import SECOND, read_duration, show_instant

LISTED: Final = 50
"""Logs that a table lists; finished ones come last."""
INSTANTS: Final = ("watermark", "complete_to", "flushed_at")
COLUMNS: Final = ("topic", "partition", "generation", "offset", "lag", "watermark", "complete_to", "flushed_at")
COUNTS: Final = ("events", "late", "duplicates", "rejected")
CLEAR: Final = "\x1b[H\x1b[2J"
"""Lets a terminal show each look in the place of the last one."""


def command(
    store: StoreOption = None,
    topic: Annotated[str | None, typer.Option("--topic", metavar="NAME", help="Only the logs of this topic.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Look again and again, until Ctrl-C; shows rates.")
    ] = False,
    interval: Annotated[str, typer.Option(metavar="DURATION", help="How often --watch looks.")] = "2s",
    max_lag: Annotated[
        int | None,
        typer.Option("--max-lag", metavar="N", min=0, help="Exit 1 where a log is further behind: records, or bytes."),
    ] = None,
    max_age: Annotated[
        str | None,
        typer.Option(
            "--max-age", metavar="DURATION", help="Exit 1 where the last flush of an unfinished log is older."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print how far every log is: lag, watermark, complete_to, counts; exit 1 where something is behind.

    For example:

        tally status

        tally status --watch --interval 5s

        tally status --max-lag 100000 --max-age 1min --json

    It asks the store alone, so it also tells of a run that is dead. Exit
    status: 0 where every log has a complete_to and is within the limits
    given; 1 where one is not, or nothing was read yet, each with a message;
    2 where the store cannot be read. Lag is in records (offsets) of a topic
    and in bytes of a file; what is not known counts as behind. Ages compare
    this machine's clock with that of the run. With --watch the status is
    that of the last look; --json then prints an object a line.
    """
    settings = load_settings(store=store)
    pause = _duration(interval, "--interval")
    oldest = None if max_age is None else _duration(max_age, "--max-age")
    with open_store(settings.store, create=False) as opened:
        found, before = read_status(opened, wall_clock(), topic), None
        try:
            while True:
                _print(found, before, max_lag, oldest, as_json=as_json, watch=watch)
                if not watch:
                    break
                time.sleep(pause / SECOND)
                with waiting_for_the_store():
                    found, before = read_status(opened, wall_clock(), topic), found
        except KeyboardInterrupt:
            pass
    problems = found.problems(max_lag=max_lag, max_age=oldest)
    for problem in problems:
        say(f"tally: {problem.message}")
    if problems:
        raise typer.Exit(1)


@contextmanager
def waiting_for_the_store() -> Iterator[None]:
    """Say that the store is away, and let the next look ask again."""
    try:
        yield
    except StoreUnavailable as error:
        say(f"tally: {error}")


def _duration(text: str, name: str) -> int:
    try:
        found = read_duration(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from error
    if found <= 0:
        raise SettingsError(f"{name}: must be more than zero")
    return found


def _print(
    found: Status, before: Status | None, max_lag: int | None, max_age: int | None, *, as_json: bool, watch: bool
) -> None:
    speed = None if before is None else rates(before, found)
    if as_json:
        logs = [_readable(log.as_json(None if speed is None else speed[log.progress.log])) for log in found.logs]
        content = {
            "seen_at": show_instant(found.seen_at),
            "complete_to": _instant(found.complete_to),
            "lag": found.lag,
            "total": found.total.as_json(),
            **({} if speed is None else {"events_per_second": sum(speed.values())}),
            "problems": [problem.message for problem in found.problems(max_lag=max_lag, max_age=max_age)],
            "logs": logs,
        }
        if watch:
            print(json.dumps(plain(content), ensure_ascii=False), flush=True)
        else:
            print_json(content)
        return
    if watch and sys.stdout.isatty():
        print(CLEAR, end="")
    shown = sorted(found.logs, key=lambda log: log.finished)[:LISTED]
    columns = (*COLUMNS, *COUNTS, *(() if speed is None else ("events/s",)))
    rows = [_row(log) + (() if speed is None else (speed[log.progress.log],)) for log in shown]
    print_table(columns, rows)
    _print_totals(found, len(shown), None if speed is None else sum(speed.values()))
    sys.stdout.flush()


def _print_totals(found: Status, shown: int, speed: int | None) -> None:
    if shown < len(found.logs):
        print(f"… {len(found.logs) - shown:,} more logs; --json lists them all")
    total = found.total
    finished = len(found.logs) - len(found.unfinished)
    parts = [
        f"{len(found.logs):,} logs ({finished:,} finished)",
        f"{total.events:,} events",
        f"{total.late:,} late",
        f"{total.duplicates:,} duplicates",
        f"{total.rejected.total():,} rejected",
        f"lag {found.lag:,}",
        *([] if speed is None else [f"{speed:,} events/s"]),
    ]
    print(" · ".join(parts))
    print(f"complete_to: {_instant(found.complete_to) or 'not known yet'}")


def _row(log: LogStatus) -> tuple[Any, ...]:
    said = _readable(log.as_json())
    place = (said["topic"], said["partition"], said["generation"], said["next_offset"])
    lag = "finished" if log.finished else "not known" if log.lag is None else log.lag
    counts = (said["events"], said["late"], said["duplicates"], sum(said["rejected"].values()))
    return (*place, lag, said["watermark"], said["complete_to"], said["flushed_at"], *counts)


def _readable(said: dict[str, Any]) -> dict[str, Any]:
    return said | {name: _instant(said[name]) for name in INSTANTS}


def _instant(instant: int | None) -> str | None:
    return None if instant is None else show_instant(instant)
