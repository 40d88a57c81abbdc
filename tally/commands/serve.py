"""`tally serve`: an embedded store offered to other processes."""

import os
import shlex
import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final

import typer

from schemas.errors import SettingsError
from tally.commands.options import StoreOption
from tally.output import say
from tally.settings import load_settings

if TYPE_CHECKING:
    from sinks.serve import StoreServer

PASSWORD_VARIABLE: Final = "TALLY_SERVE_PASSWORD"  # noqa: S105 - the name of a variable


def command(
    store: StoreOption = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.", min=0, max=65535)] = 8123,
    user: Annotated[str, typer.Option(metavar="NAME", help="The user that clients must name.")] = "default",
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file whose first line is the password.")
    ] = None,
) -> None:
    """Offer an embedded store to other processes.

    One process at a time can open an embedded store; this one lets a run, a rater and an analyst share it, over
    ClickHouse's HTTP protocol. The password comes from --password-file, else from TALLY_SERVE_PASSWORD; without
    either a random one is made and printed once. SIGTERM and Ctrl-C let the running statements end first.

    For example:

        tally serve --store chdb:./tally-data
        TALLY_STORE=clickhouse://default:PASSWORD@127.0.0.1:8123/tally tally usage
    """
    url = load_settings(store=store).store
    password = given_password(password_file)
    server = open_server(url, host, port, user, password)

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        server.interrupt()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    announce(url, server, made_up=password is None)
    server.serve_forever()
    say("stopping: no new requests; waiting for the running ones")
    if not server.stop():
        say("statements were still running and were cut off; what was acknowledged is written")
        raise typer.Exit(1)


def open_server(url: str, host: str, port: int, user: str, password: str | None) -> "StoreServer":
    """Bring the embedded store at `url` up to date and listen; serving has not begun. Raises TallyError."""
    from sinks.serve import StoreServer  # noqa: PLC0415 - loads the engine
    from sinks.store import open_store  # noqa: PLC0415
    from sinks.url import EmbeddedUrl, parse_url  # noqa: PLC0415

    place = parse_url(url)
    if not isinstance(place, EmbeddedUrl):
        raise SettingsError(f"{place} is a server already; serve an embedded store, as in --store chdb:./tally-data")
    with open_store(url) as opened:
        opened.migrate()
    return StoreServer(place.path, host, port, user, password)


def given_password(file: Path | None) -> str | None:
    """Return the password that was given; None where none was. Raises SettingsError for a file without one."""
    if file is None:
        return os.environ.get(PASSWORD_VARIABLE)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no UTF-8 text"
        raise SettingsError(f"--password-file {file}: cannot be read: {reason}") from error
    if not lines or not lines[0]:
        raise SettingsError(f"--password-file {file}: its first line is empty; write the password there")
    return lines[0]


def announce(url: str, server: "StoreServer", *, made_up: bool) -> None:
    """Print the URL for clients; the password only where nobody knows it yet."""
    shown = server.url if made_up else server.public_url
    say(f"serving {url} until Ctrl-C or SIGTERM")
    if made_up:
        say("the password was made for this run alone; other processes use it like this:")
        say(f"  export TALLY_STORE={shlex.quote(shown)}")
    else:
        say("clients put the password after the user: clickhouse://USER:PASSWORD@…")
    print(shown, flush=True)
