"""`tally --help` is quick, and what help texts show can be typed."""

import subprocess
import sys

import pytest
from typer.core import TyperCommand, TyperGroup

from tally.cli import COMMANDS, load
from tests.cli.conftest import Tally
from tests.cli.examples import calls, example_lines, problem

HEAVY = {"chdb", "numba", "bytewax", "numpy", "pyarrow", "clickhouse_connect", "confluent_kafka", "hypothesis"}


def every_command() -> list[tuple[str, TyperCommand | TyperGroup]]:
    found: list[tuple[str, TyperCommand | TyperGroup]] = []
    for name in COMMANDS:
        top = load(name)
        found.append((name, top))
        for sub_name, sub in getattr(top, "commands", {}).items():
            found.append((f"{name} {sub_name}", sub))
    return found


def loaded_by(*arguments: str) -> set[str]:
    """The top-level modules that a process has loaded when it has run the command line."""
    program = "import sys; from tally.cli import run; run(sys.argv[1:]); print('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return {module.partition(".")[0] for module in done.stdout.rpartition("LOADED")[2].split()}


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_by("--help")
    assert not loaded & {*HEAVY, "pydantic", "pydantic_settings", "yaml"}
    assert not loaded & {"schemas.metering", "sinks", "dataflows", "rater"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_loads_no_engine(name: str) -> None:
    assert not loaded_by(name, "--help") & {"chdb", "bytewax", "confluent_kafka"}


def test_help_lists_every_command(tally: Tally) -> None:
    for arguments in (("--help",), ()):
        answer = tally(*arguments)
        for name, summary in COMMANDS.items():
            assert name in answer.out + answer.err
            assert summary.split()[0] in answer.out + answer.err
    assert tally("--help").status == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_is_the_commands_own_first_line(name: str) -> None:
    assert (load(name).help or "").partition("\n\n")[0] == COMMANDS[name]


def test_every_command_has_an_example_that_the_command_line_takes() -> None:
    wrong = []
    for name, command in every_command():
        mine = [
            arguments
            for line in example_lines(command.help or "")
            for arguments in calls(line)
            if " ".join(arguments[: len(name.split())]) == name
        ]
        if not mine:
            wrong.append(f"{name}: its help has no example")
        for line in example_lines(command.help or ""):
            wrong += [f"{name}: `{line}`: {said}" for arguments in calls(line) if (said := problem(arguments))]
    assert not wrong, "\n".join(wrong)


def test_every_option_says_what_it_does() -> None:
    silent = [
        f"{name} {parameter.opts[0]}"
        for name, command in every_command()
        for parameter in command.params
        if not getattr(parameter, "help", None)
    ]
    assert not silent


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tally migrate --store chdb:x", None),
        ("A=b tally schema event --format tally > x.json", None),
        ("tally config | head", None),
        ("tally migrat", "there is no command migrat"),
        ("tally migrate --stoer x", "No such option: --stoer (Possible options: --json, --store)"),
        ("tally schema evnt", "No such command 'evnt'. Did you mean 'event'?"),
        ("cat x | tally config extra", "Got unexpected extra argument(s) (extra)"),
    ],
)
def test_the_judge_of_examples_can_say_no(line: str, said: str | None) -> None:
    (only,) = example_lines(line)
    (arguments,) = calls(only)
    assert problem(arguments) == said


def test_a_command_that_there_is_not(tally: Tally) -> None:
    answer = tally("usag")
    assert answer.status == 2
    assert "No such command 'usag'" in answer.err
    assert "usage" in answer.err
