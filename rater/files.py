"""Price books and contracts from files: every error names the file, the line and the reason."""

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from rater.book import BookFile, PriceBook
from rater.contract import Contract, Contracts, ContractsFile, signed
from rater.strict_yaml import MAX_BYTES, Document, StrictYamlError, load
from schemas.errors import SettingsError

MAX_ERRORS: Final = 20
M = TypeVar("M", bound=BaseModel)


def load_book(path: Path) -> PriceBook:
    """Read a price book. Raises SettingsError, with a line for everything that is wrong."""
    return book_from(path.name, text_of_file(path, "price book"))


def load_contracts(path: Path) -> Contracts:
    """Read a contracts file. Raises SettingsError, with a line for everything that is wrong."""
    return contracts_from(path.name, text_of_file(path, "contracts file"))


def book_from(origin: str, text: str) -> PriceBook:
    """Read a price book from its text; `origin` is what messages call it."""
    return book_and_lines(origin, text)[0]


def contracts_from(origin: str, text: str) -> Contracts:
    """Read contracts from their text; `origin` is what messages call it."""
    return contracts_and_lines(origin, text)[0]


def book_and_lines(origin: str, text: str) -> tuple[PriceBook, Document]:
    """Read a price book, and the document that says in which line everything stands."""
    document, file = _read(origin, text, BookFile)
    return PriceBook(file.book, file.revision, file.plans, content_hash(document.content), origin), document


def contracts_and_lines(origin: str, text: str) -> tuple[Contracts, Document]:
    """Read contracts, and the document that says in which line everything stands."""
    document, file = _read(origin, text, ContractsFile)
    by_org: defaultdict[int | Literal["*"], list[tuple[Contract, str]]] = defaultdict(list)
    for contract, written in zip(file.contracts, document.content["contracts"], strict=True):
        by_org[contract.org_id].append((contract, content_hash(written)))
    return Contracts({org: signed(found) for org, found in by_org.items()}, origin), document


def content_hash(content: Any) -> str:
    """Return a SHA-256 of what a file says: comments and layout change nothing, order and every digit do."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=lambda value: [repr(value)])
    return hashlib.sha256(text.encode()).hexdigest()


def text_of_file(path: Path, what: str) -> str:
    """Return what a file says; `what` is what messages call it. Raises SettingsError where it cannot be one of ours."""
    try:
        with path.open("rb") as file:  # no more than is taken: whoever names a file of events waits for no 50 GB
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise SettingsError(f"{what} {path}: larger than {MAX_BYTES:,} bytes: split it")
        return content.decode("utf-8")
    except OSError as error:
        raise SettingsError(f"{what} {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{what} {path}: is not UTF-8 text (byte {error.start})") from error


def _read(origin: str, text: str, shape: type[M]) -> tuple[Document, M]:
    try:
        document = load(text)
    except StrictYamlError as error:
        place = f"{origin}:{error.line}" if error.line else origin
        raise SettingsError(f"{place}: {error.reason}") from error
    try:
        return document, shape.model_validate(document.content)
    except ValidationError as error:
        found = error.errors(include_url=False)
        told = [_told(origin, document, item) for item in found[:MAX_ERRORS]]
        if len(found) > MAX_ERRORS:
            told.append(f"{origin}: and {len(found) - MAX_ERRORS} more")
        raise SettingsError("\n".join(told)) from error


_PLAINLY: Final = {
    "model_type": "must be a mapping, as in `name: value`",
    "model_attributes_type": "must be a mapping, as in `name: value`",
    "dict_type": "must be a mapping, as in `name: value`",
    "list_type": "must be a list, as in `- value` or `[value, value]`",
    "is_instance_of": "must be a plain decimal number such as 0.0011125",
    "extra_forbidden": "is no word that is known here",
}
"""What is said instead of Pydantic's own words, which are for programmers."""


def _told(origin: str, document: Document, item: Any) -> str:
    path = (*item["loc"], *item.get("ctx", {}).get("at", ()))
    shown = ".".join(str(part) for part in path if part != "[key]" and not _is_a_branch(part))
    reason = _PLAINLY.get(
        item["type"], str(item["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    )
    if item["input"] is None and item["type"] in _PLAINLY:
        reason += ", and is empty"
    return f"{origin}:{document.line(path)}: {shown or 'the file'}: {reason}"


def _is_a_branch(part: str | int) -> bool:
    """Say whether a part of a path is not in the file, but says which of several shapes was tried."""
    return isinstance(part, str) and part.startswith(("constrained-", "literal["))
