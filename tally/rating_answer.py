"""What `tally rate` prints: counts while ratings pass by, then one statement, a table, or JSON of all."""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from rater.render import completeness, document, instant, is_provisional, money, text
from schemas.errors import RatingError
from schemas.money import exact
from schemas.period import Period
from schemas.statements import Rating, RatingFailure
from tally.json_rows import print_json_rows
from tally.output import print_json, print_table, say
from tally.rated import Rated
from tally.rating import Known
from tally.statement_store import Outcome

TABLE_ROWS: Final = 1_000
"""Statements that the table shows: it is held in memory, and read by a person."""
TOLD_FAILURES: Final = 1_000
"""Failures that are told one by one."""


def _say_failure(failure: RatingFailure) -> None:
    say(f"tally: {failure}")


@dataclass(slots=True)
class Answer:
    """What was rated, counted while it passes by; `on_failure` is told of what could not be priced, one by one."""

    period: Period
    known: Known
    outcome: Outcome
    on_failure: Callable[[RatingFailure], None] = _say_failure
    statements: int = 0
    lines: int = 0
    last: Period | None = None
    """The period that ends last."""
    failures: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    totals: dict[str, Decimal] = field(default_factory=dict)
    """By currency, of the complete statements."""
    complete: Counter[str] = field(default_factory=Counter)
    """How many these are."""

    def follow(self, ratings: Iterable[Rated]) -> Iterator[Rated]:
        """Pass ratings on, counting them and telling each failure."""
        for rated in ratings:
            self.statements += 1
            self.lines += rated.lines
            self.last = rated.period if self.last is None or rated.period.end > self.last.end else self.last
            for failure in rated.failures:
                self.failures += 1
                self.reasons[failure.reason] += 1
                if self.failures <= TOLD_FAILURES:
                    self.on_failure(failure)
            if rated.complete:
                self.complete[rated.currency] += 1
                with exact():
                    self.totals[rated.currency] = self.totals.get(rated.currency, Decimal(0)) + rated.total
            yield rated

    def about(self) -> dict[str, Any]:
        """Return what is said of the whole, for machines. Complete once every rating has passed."""
        return {
            "organisations": self.statements,
            "totals": {currency: f"{amount:f}" for currency, amount in sorted(self.totals.items())},
            "failures": self.failures,
            "kept": {
                "written": self.outcome.written,
                "unchanged": self.outcome.unchanged,
                "superseded": self.outcome.superseded,
                "withdrawn": self.outcome.withdrawn,
                "interims": self.outcome.interims,
                "overtaken": self.outcome.overtaken,
            },
        }

    def tell(self) -> None:
        """Say what was kept, and what could not be priced."""
        kept = self.outcome
        parts = [f"{kept.written:,} statements written, {kept.unchanged:,} were there already"]
        if kept.interims:
            parts.append(f"{kept.interims:,} interim statements written, since usage reached an agreed amount")
        if kept.withdrawn:
            parts.append(f"{kept.withdrawn:,} emptied, whose contract no longer holds, or whose usage was taken back")
        if kept.superseded:
            parts.append(
                f"{kept.superseded:,} not written: the store has them from a newer price book or with more usage read"
            )
        say("; ".join(parts))
        if kept.overtaken:
            say(
                f"tally: {kept.overtaken:,} statements were not kept: another rating wrote interim statements of them "
                "meanwhile, which these do not take off: rate the period again"
            )
        if kept.later:
            say(
                f"tally: what {kept.later:,} organisations carry into later periods (credit, tiers, levels) has "
                "changed, and those were rated from what it was before: rate the months after it again, in order"
            )
        if self.failures:
            every = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.reasons.items()))
            say(
                f"tally: {self.failures:,} failures ({every}); the statements that they are of were not kept, and "
                "earlier ones stand as they were: the view `unrated` has what failed until it is rated"
            )


def print_one(answer: Answer, ratings: Iterable[Rated], org: int, *, as_json: bool) -> None:
    """Print one organisation's statements. Raises RatingError where there is nothing to rate."""
    complete_to = answer.known.complete_to
    found = list(ratings)
    if not found:
        raise RatingError(
            f"organisation {org}: nothing to rate in {answer.period}: it used nothing and has no contract of its own"
        )
    if as_json:
        documents = [document(_whole(one), complete_to=complete_to, period=one.period) for one in found]
        print_json(documents[0] if len(documents) == 1 else documents)
        return
    for rated in found:
        rating = _whole(rated)
        if rating.statement is not None:
            print(text(rating, complete_to=complete_to))


def print_json_of(answer: Answer, ratings: Iterable[Rated]) -> None:
    """Print every rating as JSON, one after the other."""
    period, complete_to = answer.period, answer.known.complete_to
    documents = (document(_whole(one), complete_to=complete_to, period=one.period) for one in ratings)
    columns = ("org_id", "complete", "failures", "statement")
    before = {
        "period": period.name,
        "complete_to": None if complete_to is None else instant(complete_to),
        "provisional": is_provisional(complete_to, period),
    }
    rows = ([found[name] for name in columns] for found in documents)
    print_json_rows(columns, rows, before=before, after=answer.about)


def print_summary(answer: Answer, ratings: Iterable[Rated]) -> None:
    """Print a table of the first ratings, and the totals of all."""
    rows: list[tuple[Any, ...]] = []
    for rated in ratings:
        if len(rows) < TABLE_ROWS:
            rows.append(_summary(rated, answer.known.complete_to))
    if rows:
        print_table(("org_id", "contract", "plan", "lines", "total", "currency", "state"), rows)
        if answer.statements > len(rows):
            print(f"the first {len(rows):,} of {answer.statements:,} statements; --json prints all")
        for currency, amount in sorted(answer.totals.items()):
            print(f"total {money(amount, currency)} {currency}, of {answer.complete[currency]:,} rated now")
        if incomplete := answer.statements - answer.complete.total():
            print(f"in no total: {incomplete:,} INCOMPLETE")
    elif answer.outcome.unchanged:
        print(f"nothing has changed in {answer.period} since it was rated: --all rates it again")
    else:
        print(f"nothing to rate in {answer.period}: no usage, and no organisation has a contract of its own")
    print(completeness(answer.known.complete_to, answer.last or answer.period))


def _whole(rated: Rated) -> Rating:
    assert rated.rating is not None, "what is printed whole was rated in this process"
    return rated.rating


def _summary(rated: Rated, complete_to: dt.datetime | None) -> tuple[Any, ...]:
    reasons = ", ".join(sorted({failure.reason for failure in rated.failures}))
    state = "provisional" if is_provisional(complete_to, rated.period) else "complete"
    if not rated.complete:
        state = f"INCOMPLETE ({reasons})"
    if not rated.contract:
        return (rated.org_id, "", "", 0, "", "", state)
    return (rated.org_id, rated.contract, rated.plan, rated.lines, rated.total, rated.currency, state)
