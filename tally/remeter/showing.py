"""How a remeter is shown: what it is about, what it would change for whom, and whether it can be switched to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tally.output import print_json, print_table, say
from tally.remeter.changes import COLUMNS, Verdicts
from tally.remeter.switching import Standing
from tally.units import show_instant

STATES = {
    "made": "made, not in force",
    "active": "in force",
    "undone": "undone: what it replaced counts again",
    "dropped": "dropped",
}
"""What each state of a remeter means to a reader."""


@dataclass(frozen=True)
class Shown:
    """All that `tally remeter show` answers."""

    standing: Standing
    verdicts: Verdicts
    totals: Sequence[tuple[Any, ...]]
    rows: Sequence[tuple[Any, ...]]
    truncated: bool


TOTALS = (
    "category",
    "quantity_before",
    "quantity_after",
    "difference",
    "events_before",
    "events_after",
    "organisations",
)


def as_json_value(shown: Shown) -> dict[str, Any]:
    """Return everything as plain JSON values."""
    standing = shown.standing
    return {
        "remeter": standing.name,
        "state": standing.state,
        "decisions": [
            {"decision": one.decision, "at": show_instant(one.decided_at), "by": one.decided_by}
            for one in standing.decisions
        ],
        "can_be_switched_to": standing.state in {"made", "undone"} and not standing.hindrances,
        "hindrances": list(standing.hindrances),
        "logs": [
            {
                "topic": one.log.topic,
                "partition": one.log.partition,
                "generation": one.generation,
                "fingerprint": one.fingerprint,
                "from_offset": one.start_offset,
                "to_offset": one.next_offset,
                "replaces_generations": list(one.places),
            }
            for one in standing.candidates
        ],
        "verdicts": {"before": shown.verdicts.before.as_json(), "after": shown.verdicts.after.as_json()},
        "totals": [dict(zip(TOTALS, row, strict=True)) for row in shown.totals],
        "rows": [dict(zip(COLUMNS, row, strict=True)) for row in shown.rows],
        "truncated": shown.truncated,
    }


def print_shown(shown: Shown, *, as_json: bool) -> None:
    """Print a remeter."""
    if as_json:
        print_json(as_json_value(shown))
        return
    standing = shown.standing
    last = standing.decisions[-1]
    print(f"remeter {standing.name}: {STATES[standing.state]}, {show_instant(last.decided_at)}, by {last.decided_by}")
    for one in standing.candidates[:10]:
        first, end = one.places
        what = f"generation {first}" if first == end else f"generations {first} to {end}"
        print(f"  {one.log}: offsets {one.start_offset} to {one.next_offset}, in the place of {what}")
    if len(standing.candidates) > 10:
        print(f"  and {len(standing.candidates) - 10} more logs")
    print()
    print_table(("events", "before", "after", "difference"), shown.verdicts.rows(), title="what became of the events")
    print()
    print_table(TOTALS, shown.totals, title="usage by category")
    print()
    if shown.rows:
        columns = [place for place, name in enumerate(COLUMNS) if any(row[place] is not None for row in shown.rows)]
        rows = [[row[place] for place in columns] for row in shown.rows]
        print_table([COLUMNS[place] for place in columns], rows, title="what changes, the largest first")
    else:
        print("no usage changes")
    if shown.truncated:
        say(f"more than {len(shown.rows)} rows change: --limit shows more, --by day, --org and --category fewer")
    print()
    if standing.state in {"made", "undone"}:
        print(_next_step(standing))


def _next_step(standing: Standing) -> str:
    if not standing.hindrances:
        return (
            f"complete, and its counts balance with its rows: `tally remeter switch {standing.name}` puts it in force"
        )
    more = [f"and {len(standing.hindrances) - 5} more"] if len(standing.hindrances) > 5 else []
    return "\n".join(["it cannot be switched to:", *(f"  {one}" for one in [*standing.hindrances[:5], *more])])
