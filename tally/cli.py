"""The command line: which commands there are, and how a failure leaves the process.

Commands live in `tally/commands/`, one file each, and are loaded when they are called: a module offers a function
`command`, or an `app` of its own for a group. `tally --help` reads the table below and loads none of them.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from schemas.errors import TallyError
from tally.telemetry import logs

COMMANDS: Final = {
    "run": "Read usage events, count each of them once, and write usage to the store.",
    "status": "Print how far every log is: lag, watermark, complete_to, counts; exit 1 where something is behind.",
    "usage": "Print usage by organisation, category and time, and the instant to which it is complete.",
    "deadletters": "List, show and replay the events that were rejected.",
    "explain": "Read a record again and say what became of it, and which usage row it is in.",
    "reconcile": "Check every law that must hold, print both sides of each, and exit 1 if anything differs.",
    "source": "List the topics that were read, and retire those of which nothing will come any more.",
    "controls": "Read what producers say that they sent, to be compared with what arrived.",
    "recount": "Recount a range of a raw log in plain SQL, compare it row by row, and exit 1 if anything differs.",
    "plan": "Print what a load needs: workers, partitions, memory, recovery time, Kafka, ClickHouse, cost.",
    "remeter": "Meter a range of a log again after a release that metered wrongly, and switch over with one row.",
    "rate": "Price a period's usage by contract: print statements and keep them in the store.",
    "statement": "Show the statements that `tally rate` has kept.",
    "prices": "Check price books and contracts before they bill anybody, and show what a new book changes.",
    "simulate": "Rate real usage under another price book or contracts: who would pay more, who less, how much.",
    "generate": "Write realistic traffic, the same for the same seed, with the exact totals that must come out of it.",
    "demo": "Show the whole of it: traffic, a run that is killed and resumed, usage, statements, and a comparison.",
    "serve": "Offer an embedded store to other processes.",
    "migrate": "Bring the store's tables up to this version.",
    "schema": "Print what an event may look like, and the categories.",
    "config": "Print the settings in force and where each came from.",
}
"""Every command with its first line of help, in the order of `tally --help`."""

INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 1


class Commands(TyperGroup):
    """The top level, which loads a command's module when it is called."""

    _listing = False

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        # Names and summaries: what the help lists and what a mistyped name is compared with.
        self.commands.update({name: TyperCommand(name, help=summary) for name, summary in COMMANDS.items()})

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:
        """Return a command, or its name and summary alone where all of them are listed."""
        if cmd_name not in COMMANDS:
            return None
        if self._listing or ctx.resilient_parsing:
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name])
        return load(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help from the table."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False


def load(name: str) -> TyperCommand | TyperGroup:
    """Import a command's module and return the command."""
    module = importlib.import_module(f"tally.commands.{name}")
    if hasattr(module, "app"):
        made: Any = typer.main.get_group(module.app)
        made.name = name
    else:
        holder = typer.Typer(add_completion=False, rich_markup_mode="rich")
        holder.command(name)(module.command)
        made = typer.main.get_command(holder)
    assert isinstance(made, TyperCommand | TyperGroup)
    for command in (made, *getattr(made, "commands", {}).values()):
        command.help = reflow(command.help or "")
    return made


def reflow(text: str) -> str:
    """Join the lines of each paragraph, so that a terminal's width alone breaks them; indented ones stay."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(one if one.startswith(" ") else one.replace("\n", " ") for one in paragraphs)


app = typer.Typer(cls=Commands, add_completion=False, rich_markup_mode="rich", no_args_is_help=True)


def _version(wanted: bool) -> None:
    if wanted:
        from tally.build import described  # noqa: PLC0415 - 20 ms that no other command needs

        print(f"tally {described()}")
        raise typer.Exit


@app.callback()
def tally(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version, and what it was built from, and exit.",
            callback=_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Usage events in, exact bills out.

    The same events give the same bill, to the last digit, in any batching, through any crash.

    For example:

        tally demo
        tally run events.ndjson --store chdb:./tally-data
        tally usage --by day
        tally rate --period 2026-11 --book prices.yaml --contracts contracts.yaml

    Settings come from flags, else TALLY_* variables, else tally.toml; `tally config` shows them.
    """
    del version


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0, or what the failure says (see schemas/errors.py); 130 when interrupted."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status."""
    logs.set_up()
    try:
        typer.main.get_command(app).main(args=list(arguments), prog_name="tally")
    except TallyError as error:
        logs.fail(error)
        status = error.exit_status
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        status = BROKEN_PIPE
    except SystemExit as leaving:
        status = _status(leaving.code)
    else:
        status = 0
    return status if _flushed() else BROKEN_PIPE


def _status(code: object) -> int:
    """Return the status of a SystemExit, and print its words, as the interpreter would."""
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


def _flushed() -> bool:
    """Write out what is buffered; where nobody reads any more, let the interpreter end without complaint."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


if __name__ == "__main__":
    main()
