"""A statement for a person, as text and as a page: all that is kept, and nothing that the page may load or obey."""

import datetime as dt
import json
import re
import subprocess
from decimal import Decimal
from html import escape
from pathlib import Path

import pytest
from hypothesis import given

from rater.html import page
from rater.render import INDENT, WIDTH, lines_of, shown_as_known, statement_document, text_of
from rater.shown import money, visible
from schemas.money import exact
from schemas.period import Period
from schemas.prices import Step
from schemas.statements import Statement
from tests.rater.books import NOVEMBER
from tests.rater.pages import BROWSER, KINDS, Read, line, shown_of, statement, statements

TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "article", "h1", "p", "table", "thead", "tbody", "tfoot",
    "tr", "th", "td", "dl", "dt", "dd",
}  # fmt: skip
ATTRIBUTES = {"lang", "charset", "name", "content", "class", "scope", "colspan", "http-equiv"}
LONG = "Errors and everything else that the team has ever counted, " * 3


def sixty() -> Statement:
    """A statement of 60 lines of every kind, some with names and arithmetic that are long."""
    lines = [line("charge", f"{number * 1_234_567}.{number:02}", name=f"Charge {number}") for number in range(40)]
    hours = tuple(Step("", Decimal(1), Decimal(1), Decimal(1), part=f"2026-11-01 {hour:02}:00") for hour in range(24))
    lines += [line(kind, "-12.50", name=f"{kind} of the plan", spread={"c1": Decimal(-12), "c2": Decimal("-0.5")})
              for kind in KINDS]  # fmt: skip
    lines += [
        line(name=LONG[:200], refused=Decimal(12_345)),
        line(name="x" * 200),
        line(steps=hours, exact=Decimal(24)),
    ]
    more = [line("credit", "-1.00", name=f"Credit {number}") for number in range(60 - len(lines))]
    return statement([*lines, *more])


@given(statements())
def test_a_page_says_what_is_stored_and_obeys_nothing_of_it(found: Statement) -> None:
    written = page([shown_of(found, remarks=["<b>all</b>"], warnings=["<i>may change</i>"])])
    read = Read(written)
    assert not read.wrong
    assert read.tags <= TAGS, "text of a price book became a tag"
    assert {name for _, name, _ in read.attributes} <= ATTRIBUTES
    names, amounts = read.cells[2:-2:2], read.cells[3:-2:2]
    assert [Decimal(amount.replace(",", "")) for amount in amounts] == [line.amount for line in found.lines]
    assert names == [visible(line.name) for line in found.lines]
    assert read.notes == [note for line in shown_of(found).lines for note in line.notes]
    assert read.cells[-2] == "Total"
    with exact():
        total = sum((Decimal(amount.replace(",", "")) for amount in amounts), Decimal(0))
    assert Decimal(read.cells[-1].replace(",", "")) == found.total == total


@given(statements())
def test_a_page_needs_nothing_else(found: Statement) -> None:
    read = Read(page([shown_of(found)]))
    policy = [value for _, name, value in read.attributes if name == "content" and "default-src" in value]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert not {name for _, name, _ in read.attributes} & {"src", "href", "srcset", "style", "onload", "action", "data"}
    style = page([]).partition("<style>")[2].partition("</style>")[0]
    assert not re.search(r"url\(|@import|expression", style)


@given(statements())
def test_the_text_has_every_name_and_amount_and_stays_in_its_columns(found: Statement) -> None:
    told = text_of(shown_of(found))
    rows = [row for row in told.splitlines() if not row.startswith((" ", "Usage windows"))]
    assert all(len(row) <= WIDTH for row in rows if not row.startswith(("Statement for", "Price book", "Contract")))
    assert all(row.isprintable() for row in told.splitlines())
    assert f"Total {found.currency}" in told
    wanted = [("".join(visible(each.name).split()), money(each.amount, found.currency)) for each in found.lines]
    assert _named(list(lines_of(shown_of(found)))) == wanted, "a name or an amount is cut"


def _named(rows: list[str]) -> list[tuple[str, str]]:
    """Read the names (without spaces, over as many rows as they take) and amounts of a statement's lines."""
    column = len(rows[-2].strip())  # the rule above the total
    found: list[tuple[str, str]] = []
    begins, noted = True, False
    for row in rows[:-2]:
        if not begins and row.startswith(INDENT):
            noted = True
        elif begins or noted:
            found.append(("".join(row[: WIDTH - column].split()), row[WIDTH - column :].strip()))
            begins = noted = False
        else:
            found[-1] = found[-1][0] + "".join(row.split()), found[-1][1]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_line_is_shown_with_its_arithmetic(kind: str) -> None:
    [found] = [one for one in KINDS if one == kind]
    told = text_of(
        shown_of(statement([line(found, "-5.50", name=f"A {kind}", spread={"a": Decimal(-5), "b": Decimal("-.5")})]))
    )
    assert re.search(rf"^A {kind} +-5\.50$", told, re.MULTILINE)
    assert "1 × -5.5 = -5.5" in told
    assert "of which a -5.00, b -0.50" in told
    assert f'<tbody class="{kind}">' in page([shown_of(statement([line(found)]))])


@pytest.mark.parametrize(
    ("amount", "currency", "told"),
    [
        ("1234.5", "USD", "1,234.50"),
        ("-1234.500000000000000000", "USD", "-1,234.50"),
        ("1200", "JPY", "1,200"),
        ("1200.000000000000000000", "JPY", "1,200"),
        ("1.5", "JPY", "1.5"),
        ("0.1", "KWD", "0.100"),
        ("0", "CLF", "0.0000"),
        ("0.00125", "USD", "0.00125"),
        ("-0.01", "USD", "-0.01"),
    ],
)
def test_an_amount_has_the_digits_of_its_currency_and_loses_none(amount: str, currency: str, told: str) -> None:
    assert money(Decimal(amount), currency) == told


def test_what_was_refused_and_a_part_of_the_period_are_told() -> None:
    half = (NOVEMBER.start, NOVEMBER.start.replace(day=16))
    told = text_of(shown_of(statement([line(refused=Decimal(1_655), part_of_period=half)])))
    assert "1,655 errors were refused, and are not billed" in told
    assert "for 2026-11-01T00:00:00Z to 2026-11-16T00:00:00Z" in told


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "Pacific/Auckland", "Pacific/Honolulu"])
def test_a_period_of_another_zone_keeps_its_name_and_tells_its_instants(zone: str) -> None:
    period = Period.days(dt.date(2026, 11, 1), dt.date(2026, 12, 1), zone)
    told = text_of(shown_of(statement([line()], period=period)))
    assert told.startswith("Statement for organisation 42, 2026-11\n")
    assert f"{period.start:%Y-%m-%dT%H:%M:%SZ} to {period.end:%Y-%m-%dT%H:%M:%SZ}" in told


def test_only_what_may_change_is_a_warning() -> None:
    found = {**statement_document(statement([line()])), "period": "2026-11"}
    for complete_to, warns in ((None, True), (NOVEMBER.start, True), (NOVEMBER.end, False)):
        told = shown_as_known(found, complete_to, NOVEMBER)
        assert bool(told.warnings) == warns
        assert ('<p class="warning">Provisional' in page([told])) == warns


def test_several_statements_are_one_page_in_their_order() -> None:
    several = [shown_of(statement([line("fee", f"{number}.00")], contract=f"c-{number}")) for number in range(3)]
    written = page(several)
    assert written.count("<article>") == 3
    assert "<title>3 statements</title>" in written
    places = [written.index(f"contract c-{number}") for number in range(3)]
    assert places == sorted(places)


def test_the_sixty_lines_are_sound_wherever_they_are_looked_at() -> None:
    read = Read(page([shown_of(sixty())]))
    assert not read.wrong
    assert len(read.cells) == 2 * (1 + 60 + 1)


@pytest.mark.skipif(BROWSER is None, reason="there is no browser here: structure alone was checked, with html.parser")
def test_a_browser_shows_and_prints_sixty_lines(tmp_path: Path) -> None:
    written = page([shown_of(sixty(), warnings=["Provisional."])])
    (tmp_path / "page.html").write_text(written, encoding="utf-8")
    (tmp_path / "measure.html").write_text(MEASURE.replace("PAGE", escape(written)), encoding="utf-8")
    told = browser(tmp_path, "--dump-dom", "measure.html")
    found = json.loads(re.findall(r"<title>(.*?)</title>", told)[0])
    assert [one["width"] for one in found] == [360, 900]
    for one in found:
        assert one["rows"] == 60
        assert one["total"] == f"{sixty().total:,}"
        assert one["over"] == 0, f"something reaches past the page at a width of {one['width']}"
        assert one["cut"] == 0, f"amounts are broken or cut at a width of {one['width']}"
        assert one["styled"] == "right", "the page's own style holds under its policy"
    browser(tmp_path, f"--print-to-pdf={tmp_path / 'page.pdf'}", "--no-pdf-header-footer", "page.html")
    pdf = (tmp_path / "page.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert 4 <= len(re.findall(rb"/Type /Page\b", pdf)) <= 12, "60 lines are a few sheets"
    browser(tmp_path, f"--screenshot={tmp_path / 'page.png'}", "--window-size=900,1200", "page.html")
    assert (tmp_path / "page.png").stat().st_size > 20_000


MEASURE = """<!doctype html><meta charset="utf-8"><title></title>
<iframe width="360" height="800" srcdoc="PAGE"></iframe><iframe width="900" height="800" srcdoc="PAGE"></iframe>
<script>
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument, root = page.documentElement;
    const amounts = [...page.querySelectorAll("td.amount")];
    return {
      width: Number(frame.width),
      rows: page.querySelectorAll("tbody").length,
      total: page.querySelector("tfoot td.amount").textContent,
      over: Math.max(0, root.scrollWidth - root.clientWidth),
      cut: amounts.filter(cell => cell.scrollWidth > cell.clientWidth
        || cell.getBoundingClientRect().right > root.clientWidth).length,
      styled: getComputedStyle(amounts[0]).textAlign,
    };
  });
  document.title = JSON.stringify(found);
});
</script>
"""


def browser(folder: Path, *arguments: str) -> str:
    """Run the browser without a window, and return what it prints."""
    assert BROWSER is not None
    *flags, file = arguments
    plain = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run(
        [BROWSER, *plain, *flags, (folder / file).as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout
