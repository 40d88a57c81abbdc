"""The wire formats in SQL: what each plain event decodes to, and why it is rejected.

Each format is one SELECT over the table EVENTS, whose column `event` is a JSON object as text, with the columns of
`COLUMNS`. The reasons are asked in the closed order, over all fields, as the contract does. Both table names are
placeholders, to be replaced by those of the database that the recount is in.
"""

import json
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from schemas.catalogue import Category
from schemas.formats.sentry_outcomes import OUTCOMES
from schemas.verdicts import END_OF_TIME, MAX_ID, MAX_QUANTITY, MIN_TIMESTAMP
from tally.recount.patterns import INSTANT, quoted, timestamp

COLUMNS: Final = (
    "reason",
    "not_billable",
    "org_id",
    "has_id",
    "event_id",
    "category",
    "project_id",
    "quantity",
    "timestamp",
    "dimensions",
)

EVENTS: Final = "<events>"
CATEGORIES: Final = "<categories>"
_LISTED: Final = f"(SELECT groupArray({{}}) FROM (SELECT * FROM {CATEGORIES} ORDER BY id))"

_INTEGER: Final = "('Int64', 'UInt64')"
_NUMERIC: Final = "('Int64', 'UInt64', 'Double')"


class SqlFormat(NamedTuple):
    """`select` decodes; `odd` says of an event that SQL cannot read it as the contract does."""

    select: str
    odd: str


def sql_format(name: str, group_by: Sequence[str], keeping: Sequence[Category] = ()) -> SqlFormat | None:
    """Return a format in SQL; None where it is not written in SQL: then every record is odd.

    `keeping` are the categories that keep attributes of their events: those are odd, as only the contract reads them.
    """
    make = _FORMATS.get(name)
    if make is None:
        return None
    made = make(sorted(set(group_by)))
    if not keeping:
        return made
    listed = ", ".join(str(one.id) if name == "sentry-outcomes" else quoted(one.name) for one in keeping)
    return made._replace(odd=_any(made.odd, f"{_CATEGORY[name]} IN ({listed})"))


def _kind(*path: str) -> str:
    return f"toString(JSONType(event, {', '.join(map(quoted, path))}))"


def _has(*path: str) -> str:
    return f"JSONHas(event, {', '.join(map(quoted, path))})"


def _text(*path: str) -> str:
    return f"JSONExtractString(event, {', '.join(map(quoted, path))})"


def _int(*path: str) -> str:
    return f"JSONExtractInt(event, {', '.join(map(quoted, path))})"


def _given(*path: str) -> str:
    """Say that a member is there and is not null."""
    return f"({_has(*path)} AND {_kind(*path)} != 'Null')"


def _no_id(*path: str) -> str:
    """Say that a member is no number of an organisation or project; plain numbers have 18 digits at most."""
    return f"({_kind(*path)} NOT IN {_INTEGER} OR {_int(*path)} < 0)"


def _bad_quantity(*path: str) -> str:
    return f"({_kind(*path)} = 'Double' OR {_int(*path)} < 0 OR {_int(*path)} > {MAX_QUANTITY})"


def _any(*conditions: str) -> str:
    return "(" + " OR ".join(conditions) + ")"


def _twice(*path: str) -> str:
    keys = f"JSONExtractKeys(event{''.join(f', {quoted(part)}' for part in path)})"
    return f"length({keys}) != length(arrayDistinct({keys}))"


_CATEGORY: Final = {
    "tally": _text("category"),
    "sentry-outcomes": f"if({_given('category')}, {_int('category')}, 1)",
    "cloudevents": _text("type"),
}
"""What names an event's category."""

_ODD_TEXT: Final = quoted("[\\x00-\\x1f\\x7f]|\\x{2028}|\\x{2029}")


def _dimensions(group_by: Sequence[str], within: str) -> str:
    """Return the canonical JSON of the grouped members of an object, '' without any of them."""
    if not group_by:
        return "''"
    parts = []
    for name in group_by:
        key = quoted(json.dumps(name, ensure_ascii=False) + ":")
        value = (
            f"if({_kind(within, name)} = 'String', toJSONString({_text(within, name)}), "
            f"JSONExtractRaw(event, {quoted(within)}, {quoted(name)}))"
        )
        parts.append(f"if({_given(within, name)}, concat({key}, {value}), '')")
    joined = f"arrayStringConcat(arrayFilter(part -> part != '', [{', '.join(parts)}]), ',')"
    return f"if({joined} = '', '', concat('{{', {joined}, '}}'))"


def _odd_groups(group_by: Sequence[str], within: str) -> list[str]:
    return [
        f"({_kind(within, name)} = 'Double' OR ({_kind(within, name)} = 'String' AND match({_text(within, name)}, "
        f"{_ODD_TEXT})))"
        for name in group_by
    ]


def _select(when: str, fields: dict[str, str], reasons: dict[str, str]) -> str:
    """Return a format's SELECT.

    `when` is the text of its timestamp; `reasons` are in the closed order, but for the last one, which all have.
    """
    asked = [f"{condition}, '{reason}'" for reason, condition in reasons.items()]
    return f"""
SELECT offset, `index`, ts, multiIf({", ".join(asked)}, isNull(instant), 'bad_timestamp', '') AS reason,
    {", ".join(f"{value} AS {name}" for name, value in fields.items())}, ifNull(instant, 0) AS timestamp
FROM (
    SELECT *, if(exact >= {MIN_TIMESTAMP} AND exact < {END_OF_TIME}, exact, NULL) AS instant
    FROM (
        SELECT *, {timestamp("parts")} AS exact
        FROM (
            SELECT *, extractGroups({when}, {quoted(INSTANT)}) AS parts FROM {EVENTS}
        )
    )
)
"""


def _tally(group_by: Sequence[str]) -> SqlFormat:
    required = ("event_id", "org_id", "project_id", "category", "quantity", "timestamp")
    reasons = {
        "missing_field": _any(
            *(f"NOT {_has(name)}" for name in required),
            f"({_kind('event_id')} = 'String' AND {_text('event_id')} = '')",
        ),
        "wrong_type": _any(
            *(f"{_kind(name)} != 'String'" for name in ("event_id", "category", "timestamp")),
            f"lengthUTF8({_text('event_id')}) > 256",
            _no_id("org_id"),
            _no_id("project_id"),
            f"{_kind('quantity')} NOT IN {_NUMERIC}",
            f"({_has('source')} AND {_kind('source')} != 'String')",
            f"({_has('attributes')} AND {_kind('attributes')} != 'Object')",
            "arrayExists(member -> tupleElement(member, 2) = 'null', JSONExtractKeysAndValuesRaw(event, 'attributes'))",
        ),
        "unknown_category": f"{_text('category')} NOT IN (SELECT name FROM {CATEGORIES})",
        "bad_quantity": _bad_quantity("quantity"),
    }
    fields = {
        "not_billable": "''",
        "org_id": f"toUInt64(greatest(0, {_int('org_id')}))",
        "has_id": "true",
        "event_id": _text("event_id"),
        "category": _text("category"),
        "project_id": f"toUInt64(greatest(0, {_int('project_id')}))",
        "quantity": _int("quantity"),
        "dimensions": _dimensions(group_by, "attributes"),
    }
    odd = _any(_twice(), _twice("attributes"), *_odd_groups(group_by, "attributes"))
    return SqlFormat(_select(_text("timestamp"), fields, reasons), odd)


def _sentry_outcomes(_: Sequence[str]) -> SqlFormat:
    number = _CATEGORY["sentry-outcomes"]
    reasons = {
        "missing_field": _any(f"NOT {_has('timestamp')}", f"NOT {_has('outcome')}"),
        "wrong_type": _any(
            f"{_kind('timestamp')} != 'String'",
            f"{_kind('outcome')} NOT IN {_INTEGER}",
            f"{_int('outcome')} NOT BETWEEN 0 AND 255",
            *(f"({_given(name)} AND {_no_id(name)})" for name in ("org_id", "project_id", "key_id")),
            *(f"({_given(name)} AND {_kind(name)} != 'String')" for name in ("reason", "event_id")),
            f"({_given('category')} AND {_kind('category')} NOT IN {_INTEGER})",
            f"({_given('quantity')} AND {_kind('quantity')} NOT IN {_NUMERIC})",
        ),
        "unknown_category": f"{number} NOT IN (SELECT id FROM {CATEGORIES})",
        "bad_quantity": f"({_given('quantity')} AND {_bad_quantity('quantity')})",
    }
    names = f"[{', '.join(map(quoted, OUTCOMES))}]"
    outcome = _int("outcome")
    word = (
        f"if({outcome} < {len(OUTCOMES)}, arrayElement({names}, toUInt8({outcome} + 1)), "
        f"concat('outcome_', toString({outcome})))"
    )
    fields = {
        "not_billable": f"if({outcome} = 0, '', {word})",
        "org_id": f"toUInt64(greatest(0, {_int('org_id')}))",
        "has_id": "false",
        "event_id": "''",
        "category": f"transform({number}, {_LISTED.format('id')}, {_LISTED.format('name')}, '')",
        "project_id": f"toUInt64(greatest(0, {_int('project_id')}))",
        "quantity": f"if({_given('quantity')}, {_int('quantity')}, 1)",
        "dimensions": "''",
    }
    return SqlFormat(_select(_text("timestamp"), fields, reasons), _twice())


def _cloudevents(group_by: Sequence[str]) -> SqlFormat:
    names = ("id", "source", "type", "subject")
    own = [name for name in group_by if name not in {"quantity", "project_id"}]
    subject = "^(0|[1-9][0-9]{0,18})$"
    organisation = f"toUInt64OrZero({_text('subject')})"
    reasons = {
        "missing_field": _any(
            *(f"NOT {_given(name)}" for name in (*names, "specversion", "time")),
            *(f"({_kind(name)} = 'String' AND {_text(name)} = '')" for name in names),
        ),
        "wrong_type": _any(
            *(f"{_kind(name)} != 'String'" for name in (*names, "specversion", "time")),
            f"{_text('specversion')} != '1.0'",
            f"lengthUTF8({_text('id')}) > 256",
            f"lengthUTF8({_text('source')}) > 1024",
            f"NOT match({_text('subject')}, {quoted(subject)})",
            f"{organisation} > {MAX_ID}",
            *(f"({_given(name)} AND {_kind(name)} != 'String')" for name in ("datacontenttype", "dataschema")),
            f"({_given('data')} AND {_kind('data')} != 'Object')",
            _given("data_base64"),
            f"({_has('data', 'quantity')} AND {_kind('data', 'quantity')} NOT IN {_NUMERIC})",
            f"({_has('data', 'project_id')} AND {_no_id('data', 'project_id')})",
        ),
        "unknown_category": f"{_text('type')} NOT IN (SELECT name FROM {CATEGORIES})",
        "bad_quantity": f"({_has('data', 'quantity')} AND {_bad_quantity('data', 'quantity')})",
    }
    source = _text("source")
    fields = {
        "not_billable": "''",
        "org_id": organisation,
        "has_id": "true",
        "event_id": f"concat(toString(lengthUTF8({source})), ':', {source}, ':', {_text('id')})",
        "category": _text("type"),
        "project_id": f"toUInt64(greatest(0, {_int('data', 'project_id')}))",
        "quantity": f"if({_has('data', 'quantity')}, {_int('data', 'quantity')}, 1)",
        "dimensions": _dimensions(own, "data"),
    }
    odd = _any(_twice(), _twice("data"), *_odd_groups(own, "data"))
    return SqlFormat(_select(_text("time"), fields, reasons), odd)


_FORMATS: Final[dict[str, Callable[[Sequence[str]], SqlFormat]]] = {
    "tally": _tally,
    "sentry-outcomes": _sentry_outcomes,
    "cloudevents": _cloudevents,
}
