"""A reconciliation for people, as two tables, and for machines, as plain JSON."""

from typing import Any, Final

from schemas.differences import Checked, Finding, Reconciliation
from tally.output import print_json, print_table
from tally.units import show_instant

_WORDS: Final = {"in_flight": "in flight", "not_checked": "not checked"}

LAW_COLUMNS: Final = ("law", "compared", "left", "right", "difference", "verdict")
FINDING_COLUMNS: Final = ("law", "what", "place", "left", "right", "difference", "note")


def print_reconciliation(found: Reconciliation, *, as_json: bool) -> None:
    """Print what was found."""
    if as_json:
        print_json(document(found))
        return
    print_table(LAW_COLUMNS, [law_row(one) for one in found.checked])
    for one in found.checked:
        if one.places:
            print(f"  {one.law}: {one.sentence}")
    rows = [finding_row(finding) for one in found.checked for finding in one.findings]
    if rows:
        print()
        print_table(FINDING_COLUMNS, rows)
    for one in found.checked:
        if one.unlisted:
            print(f"{one.law}: {one.unlisted:,} further findings were counted and are not shown")
    print(summary(found))


def summary(found: Reconciliation) -> str:
    """Return the result in a sentence."""
    counts = {name: sum(one.counts.get(name, 0) for one in found.checked) for name in ("in_flight", "stale")}
    apart = [f"{count:,} {_WORDS.get(name, name)}" for name, count in counts.items() if count]
    said = f"{found.differences:,} difference{'' if found.differences == 1 else 's'}"
    asked = sum(one.places for one in found.checked)
    return f"{said} in {asked:,} places{''.join(f', {text}' for text in apart)} (run {found.run_id})"


def document(found: Reconciliation) -> dict[str, Any]:
    """Return a reconciliation as plain JSON values; decimals are strings."""
    return {
        "run_id": found.run_id,
        "at": show_instant(found.at),
        "from": None if found.start is None else show_instant(found.start),
        "to": None if found.end is None else show_instant(found.end),
        "topic": found.topic,
        "differences": found.differences,
        "laws": [law_document(one) for one in found.checked],
    }


def law_document(one: Checked) -> dict[str, Any]:
    """Return a law as plain JSON values."""
    return {
        "law": one.law,
        "left_is": one.left_is,
        "right_is": one.right_is,
        "compared": one.places,
        "left": one.left,
        "right": one.right,
        "at_least": one.at_least,
        "verdict": one.verdict,
        "skipped": one.skipped or None,
        "counts": one.counts,
        "unlisted": one.unlisted,
        "findings": [
            {
                "standing": finding.standing,
                "place": dict(finding.place),
                "left": finding.left,
                "right": finding.right,
                "difference": finding.size,
                "note": finding.note or None,
            }
            for finding in one.findings
        ],
    }


def law_row(one: Checked) -> list[Any]:
    """Return a law as a row of a table."""
    if one.skipped:
        return [one.law, None, None, None, None, f"not checked: {one.skipped}"]
    apart = [f"{count:,} {_WORDS.get(name, name)}" for name, count in one.counts.items() if name != "difference"]
    differ = f"{one.differences:,} differ" if one.differences else "holds" if one.places else "nothing to compare"
    return [one.law, one.places, one.left, one.right, one.size, "; ".join([differ, *apart])]


def finding_row(found: Finding) -> list[Any]:
    """Return a finding as a row of a table."""
    place = " ".join(f"{name}={value}" for name, value in found.place.items())
    what = _WORDS.get(found.standing, found.standing)
    return [found.law, what, place, found.left, found.right, found.size, found.note]
