"""`tally rate`: price a period's usage by contract, print the statements and keep them."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from rater.files import load_book, load_contracts
from rater.render import completeness, document, instant, is_provisional, money, text
from schemas.errors import RatingError, SettingsError
from schemas.money import exact
from schemas.period import Period
from schemas.statements import Rating
from schemas.verdicts import MAX_ID
from sinks.store import open_store
from tally.commands.options import BookOption, ContractsOption, JsonOption, StoreOption
from tally.json_rows import print_json_rows
from tally.output import print_json, print_table, say
from tally.rating import Known, rate_period, read_known
from tally.settings import Settings, load_settings
from tally.statement_store import Outcome, StatementStore

TABLE_ROWS: Final = 1_000
"""Statements that the table shows: it is held in memory, and read by a person."""
TOLD_FAILURES: Final = 1_000
"""Failures that are told one by one."""

SAMPLES: Final = Path(__file__).parents[1] / "data"


def command(
    period: Annotated[str, typer.Option("--period", metavar="MONTH", help="The month (UTC) to rate, as in 2026-11.")],
    org: Annotated[
        int | None,
        typer.Option("--org", metavar="ID", help="Only this organisation: its whole statement.", min=0, max=MAX_ID),
    ] = None,
    book: BookOption = None,
    contracts: ContractsOption = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Price a period's usage by contract: print statements and keep them in the store.

    Rates every organisation that has usage in the month or a contract of its own. Prints a line for each, or with
    --org the whole statement with the arithmetic of each line. Rating again changes nothing unless there is more
    usage, or a newer price book. Usage that cannot be priced (no contract, no price) is told on stderr by name; that
    organisation's statement is then shown as incomplete and not kept, and the exit status is 1.

    For example:

        tally rate --period 2026-11 --book prices.yaml --contracts contracts.yaml

        tally rate --period 2026-11 --org 42 --json
    """
    month = Period.parse(period)
    settings = load_settings(store=store, book=book, contracts=contracts)
    prices = load_book(_given(settings, "book", "prices.yaml"))
    agreed = load_contracts(_given(settings, "contracts", "contracts.yaml"))
    with open_store(settings.store, create=False) as opened:
        opened.check_version()
        known = read_known(opened)
        statements = StatementStore(opened, prices, month, known, rated_at=time.time_ns() // 1_000)
        answer = Answer(month, known, statements.outcome)
        ratings = answer.follow(_kept(rate_period(opened, prices, agreed, month, org), statements))
        if org is not None:
            _print_one(answer, ratings, org, as_json=as_json)
        elif as_json:
            _print_json(answer, ratings)
        else:
            _print_summary(answer, ratings)
    answer.tell()
    if answer.failures:
        raise typer.Exit(RatingError.exit_status)


def _given(settings: Settings, name: str, sample: str) -> Path:
    path: Path | None = getattr(settings, name)
    if path is None:
        raise SettingsError(
            f"no {name} given: name a file with --{name} FILE, TALLY_{name.upper()} or `{name}` in tally.toml "
            f"(a sample to start from is {SAMPLES / sample})"
        )
    return path


def _kept(ratings: Iterable[Rating], statements: StatementStore) -> Iterator[Rating]:
    """Pass ratings on, and keep the complete ones."""
    with statements:
        for rating in ratings:
            if rating.complete and rating.statement is not None:
                statements.add(rating.statement)
            yield rating


@dataclass(slots=True)
class Answer:
    """What was rated, counted while it passes by."""

    period: Period
    known: Known
    outcome: Outcome
    organisations: int = 0
    failures: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    totals: dict[str, Decimal] = field(default_factory=dict)
    """By currency, of the complete statements."""

    def follow(self, ratings: Iterable[Rating]) -> Iterator[Rating]:
        """Pass ratings on, counting them and telling each failure."""
        for rating in ratings:
            self.organisations += 1
            for failure in rating.failures:
                self.failures += 1
                self.reasons[failure.reason] += 1
                if self.failures <= TOLD_FAILURES:
                    say(f"tally: {failure}")
            if rating.complete and rating.statement is not None:
                due = rating.statement.due
                with exact():
                    self.totals[due.currency] = self.totals.get(due.currency, Decimal(0)) + due.number
            yield rating

    def about(self) -> dict[str, Any]:
        """Return what is said of the whole, for machines. Complete once every rating has passed."""
        return {
            "organisations": self.organisations,
            "totals": {currency: f"{amount:f}" for currency, amount in sorted(self.totals.items())},
            "failures": self.failures,
            "kept": {
                "written": self.outcome.written,
                "unchanged": self.outcome.unchanged,
                "superseded": self.outcome.superseded,
                "withdrawn": self.outcome.withdrawn,
            },
        }

    def tell(self) -> None:
        """Say what was kept, and what could not be priced."""
        kept = self.outcome
        parts = [f"{kept.written:,} statements written, {kept.unchanged:,} were there already"]
        if kept.withdrawn:
            parts.append(f"{kept.withdrawn:,} emptied, whose contract no longer holds")
        if kept.superseded:
            parts.append(
                f"{kept.superseded:,} not written: the store has them from a newer price book or with more usage read"
            )
        say("; ".join(parts))
        if self.failures:
            every = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.reasons.items()))
            say(f"tally: {self.failures:,} failures ({every}); the statements that they are of were not kept")


def _print_one(answer: Answer, ratings: Iterable[Rating], org: int, *, as_json: bool) -> None:
    period, complete_to = answer.period, answer.known.complete_to
    found = list(ratings)
    if not found:
        raise RatingError(
            f"organisation {org}: nothing to rate in {period}: it used nothing and has no contract of its own"
        )
    for rating in found:
        if as_json:
            print_json(document(rating, complete_to=complete_to, period=period))
        elif rating.statement is not None:
            print(text(rating, complete_to=complete_to))


def _print_json(answer: Answer, ratings: Iterable[Rating]) -> None:
    period, complete_to = answer.period, answer.known.complete_to
    documents = (document(rating, complete_to=complete_to, period=period) for rating in ratings)
    columns = ("org_id", "complete", "failures", "statement")
    before = {
        "period": period.name,
        "complete_to": None if complete_to is None else instant(complete_to),
        "provisional": is_provisional(complete_to, period),
    }
    rows = ([found[name] for name in columns] for found in documents)
    print_json_rows(columns, rows, before=before, after=answer.about)


def _print_summary(answer: Answer, ratings: Iterable[Rating]) -> None:
    rows: list[tuple[Any, ...]] = []
    for rating in ratings:
        if len(rows) < TABLE_ROWS:
            rows.append(_summary(rating))
    if rows:
        print_table(("org_id", "contract", "plan", "lines", "total", "currency", "state"), rows)
        if answer.organisations > len(rows):
            print(f"the first {len(rows):,} of {answer.organisations:,} organisations; --json prints all")
        for currency, amount in sorted(answer.totals.items()):
            print(f"total {money(amount, currency)} {currency}")
    else:
        print(f"nothing to rate in {answer.period}: no usage, and no organisation has a contract of its own")
    print(completeness(answer.known.complete_to, answer.period))


def _summary(rating: Rating) -> tuple[Any, ...]:
    state = "complete" if rating.complete else f"INCOMPLETE ({', '.join(sorted({f.reason for f in rating.failures}))})"
    statement = rating.statement
    if statement is None:
        return (rating.org_id, "", "", 0, "", "", state)
    return (
        rating.org_id,
        statement.contract,
        statement.plan,
        len(statement.lines),
        statement.total,
        statement.currency,
        state,
    )
