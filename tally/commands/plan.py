"""`tally plan`: what a load needs, from measured figures."""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Final

import typer

from schemas.errors import SettingsError
from tally.capacity.inputs import INPUTS, defaults, read_value
from tally.capacity.model import estimate
from tally.capacity.skew import simulate, sizes
from tally.commands.options import JsonOption
from tally.output import chosen_form, print_rows, say

MOST: Final = 1_000_000
"""Organisations that the simulation of skew places: some ten seconds and some hundred MB."""


def command(
    events_per_day: Annotated[
        str | None, typer.Option("--events-per-day", metavar="N", help="The load, as in 300e9; the same as --set.")
    ] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change an input; may be given again.")
    ] = None,
    inputs: Annotated[bool, typer.Option("--inputs", help="List the inputs, and where each value comes from.")] = False,
    zipf: Annotated[
        str | None,
        typer.Option(
            "--skew",
            metavar="EXPONENT",
            help="Simulate organisations whose sizes fall as 1 / rank ** EXPONENT on these partitions instead.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a load needs: workers, partitions, memory, recovery time, Kafka, ClickHouse, cost.

    Plain arithmetic on measured figures; every line says the sum that made
    it, and every input can be changed. The page docs/SCALE.md explains it.

    For example:

        tally plan --events-per-day 300e9

        tally plan --events-per-day 20e9 --set peak=3 --set flush_interval=5

        tally plan --skew 1.1
    """
    form = chosen_form(as_json=as_json)
    values = defaults()
    if events_per_day is not None:
        values["events_per_day"] = read_value("events_per_day", events_per_day)
    for item in change or ():
        name, separator, text = item.partition("=")
        if not separator:
            raise SettingsError(f"--set {item}: write NAME=VALUE, as in --set peak=3")
        values[name] = read_value(name, text)
    if inputs:
        rows = [
            (name, str(Decimal(values[name].numerator) / values[name].denominator), one.unit, one.origin, one.about)
            for name, one in INPUTS.items()
        ]
        print_rows(("input", "value", "unit", "from", "what"), rows, form)
        return
    results = estimate(values)
    if zipf is None:
        rows_ = [(one.part, one.name, one.value, one.unit, one.sum) for one in results]
        print_rows(("part", "what", "value", "unit", "from"), rows_, form)
        return
    partitions = next(int(one.value) for one in results if one.name == "partitions")
    exponent = _exponent(zipf)
    organisations = min(int(values["organisations"]), MOST)
    say(f"placing {organisations:,} organisations on {partitions:,} partitions")
    weights = sizes(organisations, exponent)
    columns = ("salting", "partitions", "organisations", "salted", "largest_over_mean", "workers_in_use")
    told = [
        (salting, one.partitions, one.organisations, one.salted, one.largest_over_mean, one.workers_in_use)
        for salting in (False, True)
        for one in [simulate(weights, partitions, salting=salting)]
    ]
    print_rows(columns, told, form)


def _exponent(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 <= value <= 10:
        raise SettingsError(f"--skew {text}: write an exponent from 0 (all alike) to 10, as in 1.1")
    return value
