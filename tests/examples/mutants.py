"""Examples with other numbers than their sources', and what the oracle says that they come to.

python -m tests.examples.mutants [SEED] [ROUNDS]     run so many mutants of every example, and print differences
"""

import copy
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from tests.examples.oracle import answer
from tests.examples.oracle_prices import rounded
from tests.examples.running import PRICING, load, run

CENT: Final = Fraction(1, 100)
WHOLE: Final = ("days", "period", "hour", "priority", "seconds", "terminated", "number", "free_events", "trial")
"""Words whose numbers are whole; those of days stay within the period."""
UNCHANGED: Final = ("at", "unit", "note", "scope", "kind", "id", "expires", "start", "effective_for_existing")
POSITIVE: Final = (
    "package_size", "block_size", "divide", "multiply", "to", "rate", "topup_rate", "grant", "units", "credits",
    "invoice_amount", "access_amount", "commitment_amount",
)  # fmt: skip
KEPT: Final = ("seconds", "hour", "priority", "period", "divisor")
PAID: Final = ("prepaid_units", "prepaid", "minimum_in_advance", "account_credit", "wallets", "grants", "rollover")
"""What pays does so in whole cents: balances of them are compared, and of nothing finer."""
GROWING: Final = ("per_unit", "graduated", "volume", "package", "threshold_multiplier")
GROWN: Final = {
    "discount_amount": ("0.05", "7", "100"),
    "discount_percent": ("12.5", "33", "100"),
    "minimum": ("3.33", "50", "1000"),
    "maximum": ("0", "49.99", "800"),
    "included": ("1", "10.5", "100"),
    "usage_discount": ("2", "1000"),
    "recurring": ("0.005", "30"),
    "quantity_round": ("up@1", "down@10", "half_up@0.5", "half_even@1"),
    "block_size": ("3", "10", "0.5"),
    "conversion_rate": ("0.5", "0.0333"),
}
"""Words that may stand in the definition of any of these models."""
REFUSED: Final[tuple[Callable[[Mapping[str, Any]], bool], ...]] = (
    lambda d: Decimal(d.get("per_event_minimum", 0)) > Decimal(d.get("per_event_maximum", "Infinity")),
    lambda d: d.get("conversion_rate") == "0" or (d["model"] == "minimum_in_advance" and d["minimum"] == "0"),
    lambda d: d["model"] == "recharge" and d["amount"] == "0",
    lambda d: d["model"] == "stairstep" and any(Decimal(tier["unit_amount"]) for tier in d["tiers"]),
    lambda d: any(bucket["from_hour"] % 24 == bucket["to_hour"] % 24 for bucket in d.get("buckets", [])),
)
"""Definitions that the product refuses by name."""
Mutant = tuple[dict[str, Any], Fraction]


def mutants(example: Mapping[str, Any], dice: random.Random) -> Iterator[Mutant]:
    """Yield an example with other numbers, once with each line rounded and once with nothing rounded."""
    changed = {part: _changed(example[part], dice) for part in ("definition", "usage")}
    if example["definition"]["model"] in PAID:
        changed = _in_cents(changed)
    if dice.random() < 0.5:
        _grow(changed["definition"], changed["usage"], dice)
    _in_order(changed["definition"])
    _within(changed["usage"], changed["definition"])
    if any(refused(changed["definition"]) for refused in REFUSED):
        return
    base = {name: value for name, value in {**example, **changed}.items() if name not in ("expected_lines", "rounding")}
    if "tax" in str(base["definition"]):
        return
    definition, usage = base["definition"], base["usage"]
    paid = definition["model"] in PAID
    progressive = "threshold" in definition or isinstance(definition.get("thresholds", [0])[0], str)
    cents = paid or (base["currency"] in ("USD", "EUR") and definition["model"] != "round")
    exactly = not (paid or progressive or "period_1_now" in usage)
    for line, told in (
        (
            lambda value: rounded(value, CENT),
            {"rounding": "half_up@0.01 per line", **({"currency": "USD"} if paid else {})},
        ),
        (lambda value: value, {"currency": "none"}),
    ):
        expected = answer(definition, usage, line) if (cents if "rounding" in told else exactly) else None
        text = None if expected is None else _written(expected)
        if expected is not None and text is not None:
            yield {**base, **({"currency": "USD"} if paid else {}), **told, "expected_amount": text}, expected


def _changed(value: Any, dice: random.Random, name: str = "") -> Any:
    if isinstance(value, dict):
        return {word: _changed(inside, dice, word) for word, inside in value.items()}
    if isinstance(value, list):
        return [_changed(one, dice, name) for one in value]
    if isinstance(value, bool) or value is None or name in UNCHANGED:
        return value
    if isinstance(value, int):
        return value if name.startswith(KEPT) or dice.random() < 0.3 else max(0, value + dice.randint(-9, 9))
    if not value.replace(".", "", 1).lstrip("-").isdigit() or dice.random() < 0.3:
        return value
    return _number(value, dice, name)


def _number(value: str, dice: random.Random, name: str) -> str:
    kind = dice.randrange(6)
    if "percent" in name or name in ("multiplier", "overage_factor"):
        return f"{dice.randint(100, 9999)}e-2" if kind < 3 else f"{dice.randint(1, 100)}"
    if kind == 0:
        return f"{Decimal(value) * dice.choice([2, 3, 10, 100]):f}"
    if kind == 1:
        return f"{Decimal(value) + Decimal(dice.choice(['0.001', '0.005', '1', '10'])):f}"
    if kind == 2:
        return f"{dice.randint(name in POSITIVE, 10 ** dice.randint(1, 6))}"
    if kind == 3:
        return f"{Decimal(dice.randint(1, 10**6)).scaleb(-dice.randint(1, 8)):f}"
    return "0" if kind == 4 and name not in POSITIVE else value


def _in_cents(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: inside if "percent" in name else _in_cents(inside) for name, inside in value.items()}
    if isinstance(value, list):
        return [_in_cents(one) for one in value]
    fine = isinstance(value, str) and value.replace(".", "", 1).isdigit()
    return f"{max(Decimal(value), Decimal('0.01')):.2f}" if fine and Decimal(value) else value


def _grow(definition: dict[str, Any], usage: dict[str, Any], dice: random.Random) -> None:
    """Let a price that counts a quantity have more words, which other examples have."""
    if definition["model"] not in GROWING or usage.keys() - {"quantity", "unit", "cumulative_quantities"}:
        return
    if {"aggregation", "override", "window", "prorated"} & definition.keys():
        return
    for word, values in GROWN.items():
        rounds = {"quantity_round", "block_size"} & {word} and {"quantity_round", "block_size"} & definition.keys()
        if dice.random() < 0.25 and word not in definition and not rounds:
            definition[word] = dice.choice(values)
    if "quantity" in usage and dice.random() < 0.3:
        usage[dice.choice(("already_billed_quantity", "already_metered"))] = dice.choice(("0", "5", "99.5", "1001"))


def _in_order(definition: dict[str, Any]) -> None:
    """Let bounds rise, and leave those below each other as they are."""
    for part in [
        definition,
        *definition.get("parts", []),
        *definition.get("charges", []),
        definition.get("override", {}),
    ]:
        for name, bound in (("tiers", "up_to"), ("thresholds", "from")):
            steps = [step for step in part.get(name, []) if isinstance(step, dict) and step.get(bound) is not None]
            low = Decimal(0)
            for step in steps:
                low = max(Decimal(step[bound]), low + 1)
                step[bound] = f"{low:f}"
        if isinstance(part.get("thresholds", [None])[0], str):
            rising = sorted({max(Decimal(value), Decimal("0.01")) for value in part["thresholds"]})
            part["thresholds"] = [f"{value:f}" for value in rising]
        if "threshold" in part:
            part["threshold"] = f"{max(Decimal(part['threshold']), Decimal('0.01')):f}"


def _within(usage: dict[str, Any], definition: dict[str, Any]) -> None:
    """Let days be days of a period that exists."""
    for source in (usage, definition):
        whole = next((word for word in ("days_in_period", "divisor_days", "period_days") if word in source), None)
        if whole is not None:
            near = min((7, 28, 29, 30, 31, 90, 91, 92, 365, 366), key=lambda days: abs(days - source[whole]))
            fixed = {"week": 7, "quarter": 91, "year": 365}.get(definition.get("interval", ""))
            source[whole] = fixed or (min(max(near, 28), 31) if definition.get("interval") == "month" else near)
            for word in ("days_left", "days_billed", "unused_days", "terminated_on_day"):
                if word in source:
                    source[word] = min(max(source[word], 1), source[whole])


def _written(value: Fraction) -> str | None:
    """Return a fraction as an example writes amounts; None where it does not end."""
    left = value.denominator
    for factor in (2, 5):
        while left % factor == 0:
            left //= factor
    return f"{Decimal(value.numerator) / Decimal(value.denominator):f}" if left == 1 else None


def main(arguments: list[str]) -> int:
    """Run mutants and print what came out otherwise; return 1 where anything did."""
    if not all(argument.isdigit() for argument in arguments):
        sys.stdout.write(str(__doc__))
        return 0 if arguments in (["--help"], ["-h"]) else 2
    seed, rounds = (int(arguments[place]) if len(arguments) > place else place * 20 + 1 for place in (0, 1))
    counts: Counter[tuple[str, str]] = Counter()
    for example in load(PRICING):
        dice = random.Random(f"{seed}/{example['id']}")
        for _ in range(rounds):
            for mutant, _ in mutants(copy.deepcopy(example), dice):
                result = run({**mutant, "id": f"mutant-{mutant['id']}"})
                counts[result.primitive, result.verdict] += 1
                if result.verdict != "passed":
                    sys.stdout.write(f"{result}\n    {mutant['definition']} {mutant['usage']}\n")
    for primitive in sorted({name for name, _ in counts}):
        told = {verdict: count for (name, verdict), count in counts.items() if name == primitive}
        sys.stdout.write(f"{primitive:<24}{told}\n")
    return int(any(verdict == "failed" for _, verdict in counts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
