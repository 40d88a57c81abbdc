"""Examples rated by the product, and compared with what their sources print."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError

from schemas.errors import TallyError
from tests.examples.answers import answer_to
from tests.examples.case import NotUnderstood, Words, listed, number, text
from tests.examples.otherwise import OTHERWISE
from tests.examples.periods import boundaries, is_period
from tests.examples.words import translate

PRICING: Final = Path(__file__).with_name("data") / "pricing.json"
PERIODS: Final = PRICING.with_name("periods.json")
ASKED: Final = frozenset({"definition", "usage", "expected_amount", "currency"})
TOLD: Final = frozenset({"id", "kind", "source", "primitive", "note", "recomputed_ok"})
KNOWN: Final = ASKED | TOLD | {"expected_lines", "rounding"}

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
    found = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    if not isinstance(found, list) or not all(isinstance(example, dict) for example in found):
        raise ValueError(f"{path}: a file of examples is a list of objects")
    return found


def run(example: Mapping[str, Any]) -> Result:
    """Run one example. Nothing that stands in it stops the run of a file."""
    try:
        result = _run(example)
    except Exception as error:  # noqa: BLE001 - an error of the translation is told, as a failure of its example
        told = f"{type(error).__name__}: {error}"
        result = Result(str(example.get("id")), str(example.get("primitive", "period")), "failed", told)
    listed = result.id in OTHERWISE and result.verdict != "passed"
    return replace(result, verdict="otherwise") if listed else result


def _run(example: Mapping[str, Any]) -> Result:
    name, primitive = str(example.get("id")), str(example.get("primitive", "period"))
    if is_period(example):
        return _run_period(name, example)
    if not example.keys() >= ASKED:
        return Result(name, primitive, "not understood", "no price example")
    try:
        problem = _compared(example)
    except NotUnderstood as error:
        return Result(name, primitive, "not understood", str(error))
    except (TallyError, ValidationError) as error:
        return Result(name, primitive, "failed", f"refused: {error}")
    return Result(name, primitive, "failed" if problem else "passed", problem)


def _compared(example: Mapping[str, Any]) -> str:
    """Return what the product answers otherwise; '' where it is nothing. Every expectation is compared."""
    if unknown := sorted(example.keys() - KNOWN):
        raise NotUnderstood(f"words of an example: {', '.join(unknown)}")
    expected, parts = number(example["expected_amount"]), _parts(example.get("expected_lines"))
    answer = answer_to(translate(example), text(example["currency"]), expected)
    if answer.amount != expected:
        return f"expected {example['expected_amount']}, got {answer.amount:f}"
    if parts and _told(parts) not in map(_told, answer.breakdowns):
        return f"expected lines {_list(parts)}, got {' or '.join(map(_list, answer.breakdowns))}"
    return ""


def _parts(lines: Any) -> list[Decimal]:
    found = []
    for line in listed(lines or []):
        words = Words(line, "expected_lines")
        words.take("label")
        found.append(number(words.need("amount")))
        words.done()
    return found


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
