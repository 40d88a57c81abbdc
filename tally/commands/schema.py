"""`tally schema`: the published contract of events, and the categories."""

import json

import typer

from tally.commands.options import CatalogueOption, CsvOption, FormatOption, JsonOption
from tally.output import chosen_form, print_rows
from tally.settings import load_settings

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")


@app.callback()
def schema() -> None:
    """Print what an event may look like, and the categories.

    For example:

        tally schema event --format cloudevents > event.schema.json
        tally schema categories
    """


@app.command()
def event(event_format: FormatOption = None) -> None:
    """Print the JSON Schema of an event in a wire format.

    The schema is exported from the model that judges every event which the fast decoder does not take.

    For example:

        tally schema event --format sentry-outcomes
    """
    from schemas.formats.schema import json_schema  # noqa: PLC0415 - builds every model

    print(json.dumps(json_schema(load_settings(format=event_format).format), indent=2, ensure_ascii=False))


@app.command()
def controls() -> None:
    """Print the JSON Schema of a producer's report: control totals, and the instance that sent them.

    For example:

        tally schema controls > controls.schema.json
    """
    from schemas.controls import json_schema  # noqa: PLC0415 - builds the models

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@app.command()
def categories(catalogue: CatalogueOption = None, as_json: JsonOption = False, as_csv: CsvOption = False) -> None:
    """Print the categories of the catalogue in force, with their numbers and units.

    For example:

        tally schema categories --catalogue categories.yaml --json
    """
    from schemas.catalogue import load_catalogue  # noqa: PLC0415

    found = load_catalogue(load_settings(catalogue=catalogue).catalogue)
    described = any(one.description for one in found.categories)
    columns = ("id", "name", "unit", "description") if described else ("id", "name", "unit")
    rows = [[getattr(one, column) for column in columns] for one in found.categories]
    print_rows(columns, rows, chosen_form(as_json=as_json, as_csv=as_csv), about={"digest": found.digest()})
