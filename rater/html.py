"""Statements as one HTML page that needs nothing else: it opens offline, prints on paper, and runs no script."""

from collections.abc import Iterable, Iterator
from html import escape
from typing import Final

from rater.shown import ShownLine, ShownStatement

_STYLE: Final = """
:root { color-scheme: light dark; --faint: #5c6470; --rule: #c9ced6; }
@media (prefers-color-scheme: dark) { :root { --faint: #a3abb8; --rule: #3d4450; } }
* { box-sizing: border-box; }
body { font: 16px/1.45 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.45rem; margin: 0 0 .2rem; }
.faint, .notes { color: var(--faint); }
.warning { border-left: .3rem solid #c77700; padding: .4rem .8rem; margin: 1rem 0; }
table { border-collapse: collapse; width: 100%; margin: 1.2rem 0; }
th, td { text-align: left; vertical-align: top; padding: .45rem 0 0; }
thead, tbody { border-bottom: 1px solid var(--rule); }
th, tbody tr:last-child td { padding-bottom: .45rem; }
h1, p, td { overflow-wrap: anywhere; }
th.amount, td.amount { width: 1%; white-space: nowrap; padding-left: 1.5rem; }
th.amount, td.amount { text-align: right; font-variant-numeric: tabular-nums; }
tfoot td { font-weight: 600; border-top: 2px solid currentColor; }
.notes td { font-size: .84rem; padding-top: .1rem; }
.notes p { margin: 0 0 .1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .84rem; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; font-family: ui-monospace, monospace; }
@page { margin: 18mm 16mm; }
@media print {
  :root { color-scheme: light; --faint: #444; --rule: #bbb; }
  body { margin: 0; max-width: none; font-size: 11pt; }
  article + article { break-before: page; }
  tbody, dl, .warning { break-inside: avoid; }
  thead { display: table-header-group; }
  tfoot { display: table-row-group; }  /* a total on every sheet would read as that sheet's */
}
""".strip()


def page(statements: Iterable[ShownStatement]) -> str:
    """Return a page of one statement or several. Everything in them is escaped, and the page may load nothing."""
    shown = list(statements)
    title = shown[0].title if len(shown) == 1 else f"{len(shown)} statements"
    body = "\n".join(line for statement in shown for line in _statement(statement))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _statement(statement: ShownStatement) -> Iterator[str]:
    yield "<article>"
    yield f"<h1>{escape(statement.title)}</h1>"
    yield f'<p class="faint">{escape(statement.subtitle)}</p>'
    for remark in statement.remarks:
        yield f'<p class="faint">{escape(remark)}</p>'
    for warning in statement.warnings:
        yield f'<p class="warning">{escape(warning)}</p>'
    yield "<table>"
    currency = f'<th scope="col" class="amount">{escape(statement.currency)}</th>'
    yield f'<thead><tr><th scope="col">What</th>{currency}</tr></thead>'
    for line in statement.lines:
        yield from _line(line)
    yield f'<tfoot><tr><td>Total</td><td class="amount">{escape(statement.total)}</td></tr></tfoot>'
    yield "</table>"
    yield "<dl>"
    for name, value in statement.facts:
        yield f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
    yield "</dl>"
    yield "</article>"


def _line(line: ShownLine) -> Iterator[str]:
    amount = f'<td class="amount">{escape(line.amount)}</td>'
    yield f'<tbody class="{escape(line.kind)}"><tr><td>{escape(line.name)}</td>{amount}</tr>'
    if line.notes:
        notes = "".join(f"<p>{escape(note)}</p>" for note in line.notes)
        yield f'<tr class="notes"><td colspan="2">{notes}</td></tr>'
    yield "</tbody>"
