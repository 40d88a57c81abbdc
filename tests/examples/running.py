"""Examples rated by the product, and compared with what their sources print."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from rater.files import book_from, contracts_from
from rater.rate import rate
from schemas.errors import TallyError
from schemas.money import MINOR_STEPS, exact, round_to
from schemas.period import Period
from schemas.statements import CategoryUsage, OrgUsage, Statement
from tests.examples.otherwise import OTHERWISE
from tests.examples.vocabulary import Case, NotUnderstood, translate

PRICING: Final = Path(__file__).with_name("data") / "pricing.json"
PERIOD: Final = Period.month(2026, 11)

Verdict = Literal["passed", "failed", "not understood", "otherwise"]


@dataclass(frozen=True)
class Result:
    """What became of one example; `detail` says what was expected and found, or what is not understood."""

    id: str
    primitive: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True)
class Answer:
    """What the product answers to a case: the amount, and the parts that it is made of, finer and finer."""

    amount: Decimal
    breakdowns: tuple[tuple[Decimal, ...], ...]


def load(path: Path) -> list[dict[str, Any]]:
    """Read a file of examples."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def run(example: Mapping[str, Any]) -> Result:
    """Run one example."""
    result = _run(example)
    listed = result.id in OTHERWISE and result.verdict != "passed"
    return replace(result, verdict="otherwise") if listed else result


def _run(example: Mapping[str, Any]) -> Result:
    name, primitive = str(example.get("id")), str(example.get("primitive", "period"))
    if not {"definition", "usage", "expected_amount", "currency"} <= example.keys():
        return Result(name, primitive, "not understood", "no price example")
    expected = Decimal(example["expected_amount"])
    try:
        answer = answer_to(translate(example), str(example["currency"]), expected)
    except NotUnderstood as error:
        return Result(name, primitive, "not understood", str(error))
    except TallyError as error:
        return Result(name, primitive, "failed", f"refused: {error}")
    problem = "" if answer.amount == expected else f"expected {expected}, got {answer.amount:f}"
    parts = tuple(Decimal(line["amount"]) for line in example.get("expected_lines", ()))
    if not problem and parts and parts not in answer.breakdowns:
        problem = f"expected lines {_list(parts)}, got {' or '.join(map(_list, answer.breakdowns))}"
    return Result(name, primitive, "failed" if problem else "passed", problem)


def answer_to(case: Case, currency: str, expected: Decimal) -> Answer:
    """Rate a case.

    An expected amount that is finer than the currency's minor unit, or in no currency at all, is compared with the
    unrounded amount, unless the example says how it rounds.
    """
    step = MINOR_STEPS.get(currency)
    on_the_line = step is not None and (case.rounding is None or case.rounding.to == step)
    with exact():
        rounded = on_the_line and (case.rounding is not None or expected == round_to(expected, step or Decimal(1)))
    statements = [_rated(case, currency if on_the_line else "USD", moment) for moment in case.moments]
    with exact():
        amounts = [_amount(statement, case, rounded=rounded) for statement in statements]
        deltas = tuple(after - before for before, after in zip([Decimal(0), *amounts], amounts, strict=False))
    last = statements[-1]
    lines = tuple(line.amount if rounded else line.exact for line in last.lines)
    steps = tuple(step.amount for line in last.lines for step in line.steps if step.amount)
    return Answer(deltas[-1], (deltas, lines, steps))


def _rated(case: Case, currency: str, moment: Sequence[Decimal]) -> Statement:
    charges: dict[str, Any] = {}
    usage: dict[str, CategoryUsage] = {}
    quantities = iter(moment)
    for index, charge in enumerate(case.charges):
        charges[f"charge-{index}"] = dict(charge)
        if charge["price"]["model"] != "flat":
            category = f"category-{index}"
            charges[f"charge-{index}"]["category"] = category
            usage[category] = CategoryUsage(next(quantities))
    plan = {"currency": currency, "versions": [{"from": "2020-01-01", "charges": charges}]}
    if case.rounding is not None:
        plan["rounding"] = case.rounding.mode
    contract = {"org_id": 1, "id": "example", "plan": "example", "currency": currency, "from": "2020-01-01"}
    book = book_from("example", json.dumps({"book": "example", "revision": 1, "plans": {"example": plan}}))
    contracts = contracts_from("example", json.dumps({"contracts": [contract]}))
    rating = rate(book, contracts, OrgUsage(1, usage), PERIOD)
    if rating.statement is None or rating.failures:
        raise TallyError("; ".join(map(str, rating.failures)))
    return rating.statement


def _amount(statement: Statement, case: Case, *, rounded: bool) -> Decimal:
    if case.units:
        return sum((line.quantity for line in statement.lines), Decimal(0))
    if rounded:
        return statement.total
    amounts = [line.exact for line in statement.lines]
    if case.rounding is not None:  # to a step that is no currency's: the product's rounding, on each line
        amounts = [round_to(amount, case.rounding.to, case.rounding.mode) for amount in amounts]
    return sum(amounts, Decimal(0))


def by_primitive(results: Iterable[Result]) -> dict[str, Counter[Verdict]]:
    """Count verdicts by primitive."""
    counts: dict[str, Counter[Verdict]] = {}
    for result in results:
        counts.setdefault(result.primitive, Counter())[result.verdict] += 1
    return dict(sorted(counts.items()))


def _list(amounts: Iterable[Decimal]) -> str:
    return "[" + ", ".join(f"{amount:f}" for amount in amounts) + "]"
