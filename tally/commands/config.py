"""`tally config`: the settings in force."""

from tally.commands.options import JsonOption
from tally.output import print_json, print_rows
from tally.settings import load_settings


def command(as_json: JsonOption = False) -> None:
    """Print the settings in force and where each came from.

    Passwords and keys are masked. Settings come from flags, else TALLY_* variables, else tally.toml in the working
    folder (or the file that TALLY_CONFIG names), else defaults.

    For example:

        TALLY_WINDOW=5min tally config
    """
    settings = load_settings()
    shown = settings.shown()
    if as_json:
        print_json({name: {"value": value, "from": settings.origin(name)} for name, value in shown.items()})
        return
    rows = [(name, "" if value in ([], {}) else value, settings.origin(name)) for name, value in shown.items()]
    print_rows(("setting", "value", "from"), rows, "table")
