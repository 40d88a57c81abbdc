"""`tally migrate`: the store's tables, brought up to this version."""

from tally.commands.options import JsonOption, StoreOption
from tally.output import print_json, say
from tally.settings import load_settings


def command(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Bring the store's tables up to this version.

    Prints the migrations that were applied, none where the store is current. Safe to run twice, at once, and after a
    crash in the middle. `tally run` and `tally serve` do the same before they begin.

    For example:

        tally migrate --store clickhouse://tally@localhost:8123/tally
    """
    from sinks.store import open_store  # noqa: PLC0415 - loads the engine

    with open_store(load_settings(store=store).store) as opened:
        applied = opened.migrate()
        place = opened.url
    if as_json:
        print_json({"store": place, "applied": applied})
        return
    for name in applied:
        print(name)
    say(f"{place}: {len(applied)} migrations applied" if applied else f"{place} is current: nothing to apply")
