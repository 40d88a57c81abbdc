"""One JSON document with any number of rows in it, written as they come: nothing of it is held in memory."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tally.output import plain


def print_json_rows(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    before: Mapping[str, Any],
    after: Callable[[], Mapping[str, Any]] = dict,
) -> None:
    """Print `{**before, "rows": [{column: value, …}, …], **after()}`, a row a line.

    `after` is asked once the rows have been walked. A failure on the way leaves a document that is no JSON, so that
    half an answer is never taken for a whole one.
    """
    write = sys.stdout.write
    # Rows are plain values but for a few, and there may be millions: only those few are turned into plain ones.
    encode = json.JSONEncoder(ensure_ascii=False, default=plain).encode
    write("{\n" + "".join(f"  {_pair(name, value)},\n" for name, value in before.items()) + '  "rows": [')
    separator = "\n    "
    for row in rows:
        write(separator + encode(dict(zip(columns, row, strict=True))))
        separator = ",\n    "
    write("]" if separator == "\n    " else "\n  ]")
    write("".join(f",\n  {_pair(name, value)}" for name, value in after().items()) + "\n}\n")


def _pair(name: str, value: Any) -> str:
    return f"{json.dumps(name)}: {json.dumps(plain(value), ensure_ascii=False)}"
