"""A recount for people, and for machines as plain JSON."""

from typing import Any

from tally.output import print_json, print_table
from tally.reconcile.showing import FINDING_COLUMNS, LAW_COLUMNS, finding_row, law_document, law_row
from tally.recount.run import Recount
from tally.units import show_duration


def print_recount(found: Recount, *, as_json: bool) -> None:
    """Print what was found."""
    if as_json:
        print_json(document(found))
        return
    log, generation = found.generation.log, found.generation.generation
    print(f"{log}, generation {generation}: {found.records:,} records read, {found.events:,} events")
    if found.note:
        print(found.note)
    if found.odd_records:
        print(
            f"{found.odd_records:,} records ({found.borrowed_events:,} events) are of a form that SQL does not read as "
            f"the contract does; the contract judged them. {found.apart.borrowed:,} usage rows hold some of them"
        )
    if found.first is not None:
        print(f"compared: offsets {found.first} to {found.end}; {found.apart.straddling:,} rows reach beyond them")
        print_table(LAW_COLUMNS, [law_row(one) for one in found.checked])
        rows = [finding_row(finding) for one in found.checked for finding in one.findings]
        if rows:
            print()
            print_table(FINDING_COLUMNS, rows)
    came = found.came_again
    if came.events:
        print(
            f"{came.events:,} events had an id that had come before the dedupe horizon, {came.same_payload:,} of them "
            f"with the same payload; the longest time between two was {show_duration(came.longest)} of the log's clock"
        )
    else:
        print("no id came again after the dedupe horizon")
    print(f"{found.differences:,} difference{'' if found.differences == 1 else 's'}")


def document(found: Recount) -> dict[str, Any]:
    """Return a recount as plain JSON values."""
    return {
        "topic": found.generation.log.topic,
        "partition": found.generation.log.partition,
        "generation": found.generation.generation,
        "from_offset": found.first,
        "to_offset": found.end,
        "note": found.note or None,
        "records": found.records,
        "events": found.events,
        "odd_records": found.odd_records,
        "borrowed_events": found.borrowed_events,
        "borrowed_rows": found.apart.borrowed,
        "straddling_rows": found.apart.straddling,
        "came_again": {
            "events": found.came_again.events,
            "same_payload": found.came_again.same_payload,
            "longest": show_duration(found.came_again.longest),
        },
        "differences": found.differences,
        "laws": [law_document(one) for one in found.checked],
    }
