"""Every recipe of docs/pricing.md comes out as the page says, and every primitive has one."""

import re
from decimal import Decimal
from typing import get_args

import pytest

from rater.adjustments import ADJUSTMENTS
from rater.measure import Aggregation
from rater.models import MODELS
from schemas.errors import SettingsError
from tests.cookbook.page import CHECKED, PAGE, answer, problems, recipes

TEXT = PAGE.read_text(encoding="utf-8")
FOUND = list(recipes(TEXT))
WRITTEN = "\n".join(recipe["prices"] for recipe in FOUND)


@pytest.mark.parametrize("number", range(len(FOUND)))
def test_a_recipe_comes_out_as_the_page_says(number: int) -> None:
    recipe = FOUND[number]
    assert answer(recipe["prices"], recipe["usage"]) + "\n" == recipe["answer"], "run `python -m tests.cookbook.page`"


def test_everything_below_a_heading_is_a_recipe_of_its_own() -> None:
    titles = re.findall(r"^### (.+)$", TEXT, re.MULTILINE)
    assert [recipe["title"] for recipe in FOUND] == titles
    assert len(set(titles)) == len(titles)


def test_every_primitive_has_a_recipe() -> None:
    models = set(re.findall(r"model: (\w+)", WRITTEN))
    assert models == set(MODELS)
    counted = set(re.findall(r"(?:aggregate|function): (\w+)", WRITTEN))
    assert counted >= set(get_args(Aggregation.model_fields["function"].annotation)) - {"sum"}
    kinds = set(re.findall(r"kind: (\w+)", WRITTEN))
    # Grants burn, and what was invoiced comes off, also where nobody lists it.
    assert kinds == set(ADJUSTMENTS) - {"credits", "already_invoiced"}
    words = (
        "included", "convert", "each", "schedule", "commitment", "custom_unit", "cumulative", "prorated", "fee", "free",
        "budget", "reserved", "grants", "rollover", "recharge", "priority", "overrides", "phases", "trial",
        "retroactive", "billing", "anchor_day", "zone", "invoice_thresholds", "rounding", "versions", "one_time",
        "source", "until",
    )  # fmt: skip
    assert [word for word in words if not re.search(rf"\b{word}:", WRITTEN)] == []


@pytest.mark.parametrize("number", range(len(FOUND)))
def test_the_total_of_every_statement_is_the_sum_of_its_lines(number: int) -> None:
    sums, amounts = 0, list[Decimal]()
    for row in FOUND[number]["answer"].splitlines():
        if re.match(r"\S.* {2,}-?[\d,.]+$", row):
            amount = Decimal(row.rpartition(" ")[2].replace(",", ""))
            if row.startswith("Total "):
                assert sum(amounts) == amount
                sums, amounts = sums + 1, []
            else:
                amounts.append(amount)
    assert sums
    assert not amounts


def test_mistakes_are_told_as_the_page_says() -> None:
    [found] = CHECKED.finditer(TEXT)
    assert problems(found["book"], found["contracts"]) + "\n" == found["answer"], "run `python -m tests.cookbook.page`"
    assert len(found["answer"].splitlines()) == 4, "it says that there are four"


def test_what_nothing_reads_is_no_recipe() -> None:
    with pytest.raises(AssertionError, match="a recipe says chargse"):
        answer("chargse: {}", "2026-11: {}")
    with pytest.raises(SettingsError, match="unit_amonut"):
        answer("charges: {a: {category: error, price: {model: per_unit, unit_amonut: 1}}}", "2026-11: {}")
    assert answer("charges: {a: {category: error, price: {model: dynamic}}}", "2026-11: {error: 1}").startswith(
        "not rated"
    )
