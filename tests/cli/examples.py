"""The `tally …` lines that help texts and pages give as examples, and whether the command line would take them."""

import re
import shlex
from collections.abc import Iterator

from typer._click.exceptions import ClickException  # the one place that tells a wrong option from a failure
from typer.core import TyperCommand, TyperGroup

from tally.cli import COMMANDS, load

_ASSIGNMENT = re.compile(r"[A-Z_]+=\S*")
_ENDS = {"|", ">", ">>", "&&", ";", "2>", "<", "&", "||"}


def example_lines(text: str) -> Iterator[str]:
    """Give each line of a text that calls tally, whole: an indented line of help, or one of a page's code block."""
    for line in text.replace("\\\n", " ").splitlines():
        written = line.strip().removeprefix("$ ").removeprefix("export ")
        if re.match(r"([A-Z_]+=\S* )*(\S+ [^|]*\| )?tally( [a-z-]|$)", written):
            yield written


def calls(line: str) -> Iterator[list[str]]:
    """Give the arguments of each call of tally in a shell line."""
    words = iter(shlex.split(line, comments=True))
    for word in words:
        if _ASSIGNMENT.fullmatch(word) or word != "tally":
            continue
        arguments: list[str] = []
        for argument in words:
            if argument in _ENDS:
                break
            arguments.append(argument)
        yield arguments


def problem(arguments: list[str]) -> str | None:
    """Say why the command line would not take these arguments; None where it would. Nothing is run."""
    if not arguments or arguments[0] in {"--help", "--version"}:
        return None
    name, *rest = arguments
    if name not in COMMANDS:
        return f"there is no command {name}"
    command: TyperCommand | TyperGroup | None = load(name)
    try:
        while isinstance(command, TyperGroup):
            context = command.make_context(name, rest)
            if not rest or rest == ["--help"]:
                return None
            _, found, rest = command.resolve_command(context, rest)
            assert isinstance(found, TyperCommand | TyperGroup)
            command = found
        assert command is not None
        command.make_context(name, rest)
    except ClickException as error:
        return error.format_message()
    return None
