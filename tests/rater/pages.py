"""Statements of any shape, and what a page of them says when it is read again."""

import datetime as dt
import shutil
from collections.abc import Sequence
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any, Final, get_args

from hypothesis import strategies as st

from rater.render import statement_document
from rater.shown import ShownStatement, shown
from schemas.money import MINOR_STEPS, exact
from schemas.period import Period
from schemas.prices import Step
from schemas.statements import CategoryUsage, Line, LineKind, Statement
from tests.rater.books import NOVEMBER

KINDS: Final[tuple[LineKind, ...]] = get_args(LineKind)
BROWSER: Final = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
"""A real browser, where there is one."""
VOID: Final = frozenset({"meta"})
NAMES: Final = st.text(min_size=1, max_size=200).filter(str.strip) | st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x onerror=y>', "&amp;", "</td></table>", "x" * 200, "a\x1b[2Jb\nc"]
)


def line(kind: LineKind = "charge", amount: str = "13.73", **changes: Any) -> Line:
    """A line of a kind; `changes` give other fields."""
    owed = Decimal(amount)
    found = {
        "charge": "errors",
        "name": "Errors",
        "usage": {"error": CategoryUsage(62_345, NOVEMBER.start, NOVEMBER.end)} if kind == "charge" else {},
        "quantity": Decimal(62_345),
        "unit": "errors",
        "conversion": "",
        "steps": (
            Step("included", Decimal(0), Decimal(50_000)),
            Step("", Decimal(amount), Decimal(1), Decimal(amount)),
        ),
        "exact": owed,
        "amount": owed,
        "effective": dt.date(2026, 1, 1),
        "kind": kind,
        "applies_to": () if kind == "charge" else ("errors",),
    }
    return Line(**{**found, **changes})


def statement(lines: Sequence[Line], currency: str = "USD", period: Period = NOVEMBER, **changes: Any) -> Statement:
    """A statement of some lines."""
    with exact():
        total = sum((line.amount for line in lines), Decimal(0))
    found = {"org_id": 42, "contract": "contract", "plan": "plan", "book": "book", "book_revision": 3}
    hashes = {"book_hash": "a" * 64, "contract_hash": "b" * 64, "snapshot_id": "1-0"}
    return Statement(
        **{**found, **hashes, **changes}, period=period, currency=currency, lines=tuple(lines), total=total
    )


def shown_of(found: Statement, **told: Sequence[str]) -> ShownStatement:
    """How a statement is shown."""
    return shown({**statement_document(found), "period": found.period.name}, **told)


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    """Statements of any currency, with lines of every kind, names of any text, and amounts on both sides of zero."""
    currency = draw(st.sampled_from(["USD", "JPY", "KWD", "CLF"]))
    with exact():
        amounts = [number * MINOR_STEPS[currency] for number in draw(st.lists(st.integers(-(10**15), 10**15)))]
    lines = [
        line(
            draw(st.sampled_from(KINDS)),
            str(amount),
            name=draw(NAMES),
            charge=f"c{number}",
            spread=draw(st.sampled_from([{}, {"c1": amount, "c2": Decimal(0)}])),
            refused=draw(st.sampled_from([Decimal(0), Decimal(7)])),
            part_of_period=draw(st.sampled_from([None, (NOVEMBER.start, NOVEMBER.end)])),
        )
        for number, amount in enumerate(amounts)
    ]
    return statement(lines, currency)


class Read(HTMLParser):
    """A page, read: the cells of names and amounts, the notes, and everything that is not as it must be."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.wrong: list[str] = []
        self.cells: list[str] = []
        self.notes: list[str] = []
        self.noting = False
        self.feed(page)
        self.close()
        self.wrong += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        self.noting = any(name == "colspan" for name, _ in attrs) if tag == "td" else self.noting and tag == "p"
        if tag in ("td", "th") and not self.noting:
            self.cells.append("")
        elif tag == "p" and self.noting:
            self.notes.append("")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self.noting and self.open[-1:] == ["p"]:
            self.notes[-1] += data
        elif set(self.open) & {"td", "th"}:
            self.cells[-1] += data
