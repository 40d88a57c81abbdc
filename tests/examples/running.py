"""Examples rated by the product, and compared with what their sources print."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from schemas.errors import TallyError
from tests.examples.answers import answer_to
from tests.examples.case import NotUnderstood
from tests.examples.otherwise import OTHERWISE
from tests.examples.periods import boundaries, is_period
from tests.examples.words import translate

PRICING: Final = Path(__file__).with_name("data") / "pricing.json"
PERIODS: Final = PRICING.with_name("periods.json")

Verdict = Literal["passed", "failed", "not understood", "otherwise"]


@dataclass(frozen=True)
class Result:
    """What became of one example; `detail` says what was expected and found, or what is not understood."""

    id: str
    primitive: str
    verdict: Verdict
    detail: str = ""


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
    if is_period(example):
        return _run_period(name, example)
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
    if not problem and parts and _told(parts) not in map(_told, answer.breakdowns):
        problem = f"expected lines {_list(parts)}, got {' or '.join(map(_list, answer.breakdowns))}"
    return Result(name, primitive, "failed" if problem else "passed", problem)


def _run_period(name: str, example: Mapping[str, Any]) -> Result:
    try:
        expected, found = boundaries(example)
    except NotUnderstood as error:
        return Result(name, "period", "not understood", str(error))
    except TallyError as error:
        return Result(name, "period", "failed", f"refused: {error}")
    problem = "" if found == expected else f"expected {', '.join(expected)}, got {', '.join(found)}"
    return Result(name, "period", "failed" if problem else "passed", problem)


def by_primitive(results: Iterable[Result]) -> dict[str, Counter[Verdict]]:
    """Count verdicts by primitive."""
    counts: dict[str, Counter[Verdict]] = {}
    for result in results:
        counts.setdefault(result.primitive, Counter())[result.verdict] += 1
    return dict(sorted(counts.items()))


def _told(amounts: Iterable[Decimal]) -> list[Decimal]:
    """Return what a list of amounts says, in whatever order: the product writes no line of nothing, and sources do."""
    return sorted(amount for amount in amounts if amount)


def _list(amounts: Iterable[Decimal]) -> str:
    return "[" + ", ".join(f"{amount:f}" for amount in amounts) + "]"
