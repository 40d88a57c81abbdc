"""The JSON Schemas of `tally prices schema`: whole, in words of the standard, and true of every sample and recipe."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import tally
from rater.book import BookFile
from rater.contract import ContractsFile
from rater.json_schema import json_schema
from rater.strict_yaml import load
from tests.cookbook.page import PAGE, recipes
from tests.rater.json_schemas import wrong

DATA = Path(tally.__file__).with_name("data")
BOOKS, CONTRACTS = json_schema(BookFile), json_schema(ContractsFile)
RECIPES = list(recipes(PAGE.read_text(encoding="utf-8")))


def plain(value: Any) -> Any:
    """Return a document as an editor sees it: days are text."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, dt.date) else value


@pytest.mark.parametrize(("name", "schema"), [("prices", BOOKS), ("contracts", CONTRACTS)])
def test_the_samples_are_valid(name: str, schema: dict[str, Any]) -> None:
    content = plain(load((DATA / f"{name}.yaml").read_text(encoding="utf-8")).content)
    assert not list(wrong(content, schema, schema))
    first = next(iter(content))
    assert list(wrong({key: item for key, item in content.items() if key != first}, schema, schema))
    assert list(wrong({**content, "more": 1}, schema, schema))


@pytest.mark.parametrize("number", range(len(RECIPES)))
def test_every_recipe_is_valid(number: int) -> None:
    content = plain(load(RECIPES[number]["prices"]).content)
    plan = {"currency": content.pop("currency", "USD"), "rounding": content.pop("rounding", "half_away")}
    agreed = content.pop("contract", {})
    versions = content.pop("versions", [{"from": "2020-01-01", **content}])
    book = {"book": "book", "revision": 1, "plans": {"plan": {**plan, "versions": versions}}}
    assert not list(wrong(book, BOOKS, BOOKS))
    contract = {"org_id": 1, "id": "one", "plan": "plan", "currency": "USD", "from": "2020-01-01", **agreed}
    assert not list(wrong({"contracts": [contract]}, CONTRACTS, CONTRACTS))


@pytest.mark.parametrize(
    "price",
    [
        {"model": "per_unit"},
        {"model": "per_units", "unit_amount": 1},
        {"model": "per_unit", "unit_amount": -1},
        {"model": "per_unit", "unit_amount": "1e3"},
        {"model": "per_unit", "unit_amount": True},
        {"model": "per_unit", "unit_amount": 1, "amount": 2},
        {"model": "package", "package_size": 0, "package_amount": 1},
        {"model": "graduated", "tiers": []},
    ],
)
def test_mistakes_are_invalid(price: dict[str, Any]) -> None:
    def book(price: dict[str, Any]) -> dict[str, Any]:
        version = {"from": "2020-01-01", "charges": {"errors": {"category": "error", "price": price}}}
        return {"book": "b", "revision": 1, "plans": {"plan": {"currency": "USD", "versions": [version]}}}

    assert not list(wrong(book({"model": "per_unit", "unit_amount": Decimal("0.5")}), BOOKS, BOOKS))
    assert list(wrong(book(price), BOOKS, BOOKS))


@pytest.mark.parametrize(("name", "schema"), [("prices", BOOKS), ("contracts", CONTRACTS)])
def test_a_validator_that_others_wrote_agrees(name: str, schema: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="not installed: the plain rules of this folder judge alone")
    content = plain(load((DATA / f"{name}.yaml").read_text(encoding="utf-8")).content)
    validator = jsonschema.Draft202012Validator(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    read = json.loads(json.dumps(content, default=str))
    assert not list(validator.iter_errors(read))
    assert list(validator.iter_errors({**read, "more": 1}))
