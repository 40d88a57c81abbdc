"""Just enough of ClickHouse's SQL to serve it: what kind of statement, which format, where an INSERT's data begins.

The engine within a process takes a statement and its data apart, and says nothing of whether a statement has a
result; ClickHouse's HTTP protocol has them in one stream, and tells.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

HEAD_BYTES: Final = 1 << 18
"""An INSERT's statement, without its data, must fit in this (the engine's own default for max_query_size)."""

_TOKEN: Final = re.compile(
    rb"""
    (?P<space>  \s+ | --[^\n]* | \#[ !][^\n]* )
  | (?P<note>   /\* )
  | (?P<text>   '(?:[^'\\]|\\.|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
  | (?P<name>   `(?:[^`\\]|\\.|``)*` | "(?:[^"\\]|\\.|"")*" )
  | (?P<word>   [A-Za-z_]\w* )
  | (?P<number> \d[\w.]* )
  | (?P<other>  . )
    """,
    re.VERBOSE | re.DOTALL,
)

_RESULT: Final = frozenset(
    {"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK", "FROM", "KILL", "("}
)
_STATEFUL: Final = frozenset({"SET", "USE"})


class Token(NamedTuple):
    """A token at parenthesis depth 0: an upper-case word, a name or a sign, with its place."""

    text: str
    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Statement:
    """What the server must know of a statement.

    `kind` is its first word. `has_result`: it answers with rows. `stateful`: it changes the session that it runs in.
    `format` is what its FORMAT clause names, None without one. For an INSERT with data `data_at` is where the data
    begins, `head_end` where the statement ends (before FORMAT or VALUES) and `source_at` where FROM INFILE may stand
    in it (before SETTINGS); None for every other statement.
    `body_end` is where a query's text ends before FORMAT and SETTINGS.
    """

    kind: str
    has_result: bool
    stateful: bool
    format: str | None
    body_end: int
    totals: bool
    head_end: int | None = None
    data_at: int | None = None
    source_at: int | None = None


def read_statement(sql: bytes) -> Statement:
    """Read a statement. An INSERT may be followed by its data, of which only the beginning need be given."""
    tokens = _top_level(sql)
    first = next(tokens, Token("", "", 0, 0))
    if first.text == "INSERT":
        return _insert(sql, tokens)
    rest = list(tokens)
    words = [token.text for token in rest]
    stateful = first.text in _STATEFUL or (first.text == "CREATE" and "TEMPORARY" in words[:3])
    place = _format_clause(rest)
    end = rest[-1].end if rest else first.end
    while rest and rest[-1].text == ";":
        end = rest.pop().start
    for at, token in enumerate(rest):
        if (token.text == "SETTINGS" and rest[at + 2 : at + 3] and rest[at + 2].text == "=") or token is place:
            end = token.start
            break
    named = None
    if place:
        spelled = rest[rest.index(place) + 1]
        named = sql[spelled.start : spelled.end].decode(errors="replace")
    return Statement(first.text, first.text in _RESULT, stateful, named, end, "TOTALS" in words)


def _insert(sql: bytes, tokens: Iterator[Token]) -> Statement:
    previous = ""
    settings: int | None = None
    for token in tokens:
        if token.kind == "word" and previous not in ("INTO", "TABLE", "FUNCTION", "."):
            end = token.start
            source = end if settings is None else settings
            if token.text in ("SELECT", "WITH", "FROM"):
                break
            if token.text == "VALUES":
                return Statement("INSERT", False, False, "Values", end, False, end, token.end, source)
            if token.text == "FORMAT" and (name := next(tokens, None)) is not None:
                named = sql[name.start : name.end].decode(errors="replace")
                return Statement("INSERT", False, False, named, end, False, end, _data_at(sql, name.end), source)
            if token.text == "SETTINGS" and settings is None:
                settings = token.start
        # A table may be called what it likes: what follows INTO is a name, also where it reads FORMAT.
        previous = previous if token.text == "TABLE" and previous == "INTO" else token.text
    return Statement("INSERT", False, False, None, len(sql), False)


def _data_at(sql: bytes, at: int) -> int:
    """Return where data starts: after the line end where only blanks come before it, else after the blanks."""
    while sql[at : at + 1] in (b" ", b"\t", b"\f"):
        at += 1
    if sql[at : at + 1] == b"\r":
        at += 1
    return at + 1 if sql[at : at + 1] == b"\n" else at


def _format_clause(tokens: list[Token]) -> Token | None:
    """Return the FORMAT of a query's end: a name and nothing but SETTINGS may follow it."""
    for at in range(len(tokens) - 2, -1, -1):
        if tokens[at].text == "FORMAT" and tokens[at].kind == "word" and tokens[at + 1].kind in ("word", "name"):
            after = tokens[at + 2].text if at + 2 < len(tokens) else ";"
            return tokens[at] if after in (";", "SETTINGS") else None
    return None


def _top_level(sql: bytes) -> Iterator[Token]:
    depth, at = 0, 0
    while match := _TOKEN.match(sql, at):
        kind, at = match.lastgroup or "other", match.end()
        if kind == "note":
            at = _note_end(sql, at)
        if kind in ("space", "note"):
            continue
        sign = match[0] if kind == "other" else b""
        if sign in (b")", b"]", b"}"):
            depth -= 1
        elif depth == 0:
            text = match[0].decode(errors="replace")
            yield Token(text.upper() if kind == "word" else text, kind, match.start(), match.end())
        if sign in (b"(", b"[", b"{"):
            depth += 1


def _note_end(sql: bytes, at: int) -> int:
    """Return where the comment ends that was opened just before `at`; comments nest."""
    depth = 1
    for sign in re.compile(rb"/\*|\*/").finditer(sql, at):
        depth += 1 if sign[0] == b"/*" else -1
        if not depth:
            return sign.end()
    return len(sql)
