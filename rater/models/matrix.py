"""matrix: what the grouped attributes of the usage say decides the price of a unit, or of a package."""

import json
from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import BaseModel, Field, model_validator

from rater.models.package import package_steps
from schemas.prices import STRICT, Measure, Needs, NotPriced, Number, Positive, PriceModel, Step

ANY: Final = "*"
ZERO: Final = Decimal(0)
Attribute = Annotated[str, Field(min_length=1, max_length=200)]


class Rule(BaseModel):
    """A price for usage whose attributes are as `match` says; `"*"` is any value, and an attribute left out is free."""

    model_config = STRICT

    match: dict[Attribute, str]
    unit_amount: Number | None = None
    package_amount: Number | None = None

    @model_validator(mode="after")
    def _one_price(self) -> "Rule":
        if (self.unit_amount is None) == (self.package_amount is None):
            raise ValueError("a rule has a unit_amount or a package_amount")
        return self


class Pattern(NamedTuple):
    """Rules that name the same attributes by value, and the same others by `"*"`: their numbers, by those values."""

    exact: tuple[str, ...]
    names: frozenset[str]
    rules: Mapping[tuple[str, ...], int]


class Matrix(PriceModel):
    """Σ over the rules of the quantity that each is the most specific for × its price.

    Most specific is the rule with the most attributes by value, then with the most by `"*"`; of those alike, the one
    that names the earlier of `dimensions`. What no rule is for has the price of `default`, a unit's; without a default
    it is a failure. Packages (of `package_size`) are counted by rule. `group_by` shows more attributes, and prices
    nothing.
    """

    model: Literal["matrix"]
    dimensions: Annotated[tuple[Attribute, ...], Field(min_length=1, max_length=20, strict=False)]
    rules: Annotated[tuple[Rule, ...], Field(max_length=10_000, strict=False)]
    default: Number | None = None
    package_size: Positive | None = None
    round: Literal["up", "down"] = "up"
    group_by: Annotated[tuple[Attribute, ...], Field(max_length=20, strict=False)] = ()

    @model_validator(mode="after")
    def _tells_apart(self) -> "Matrix":
        seen: list[Mapping[str, str]] = []
        for number, rule in enumerate(self.rules, 1):
            if unknown := sorted(rule.match.keys() - set(self.dimensions)):
                raise ValueError(f"rule {number} matches {', '.join(unknown)}, which is not in dimensions")
            if rule.package_amount is not None and self.package_size is None:
                raise ValueError(f"rule {number} has a package_amount: give package_size")
            seen.append(rule.match)
        keys = [json.dumps(match, sort_keys=True) for match in seen]
        if len(set(keys)) != len(keys):
            raise ValueError("two rules match the same")
        if not self.rules and self.default is None:
            raise ValueError("give rules, or a default")
        return self

    @property
    def needs(self) -> Needs:
        """Return that usage is asked for by group."""
        return "groups"

    def steps(self, quantity: Decimal) -> tuple[Step, ...]:
        """Return the steps of usage without any attributes."""
        return self.price(Measure(quantity, groups={"": quantity} if quantity else {}))

    def price(self, measure: Measure) -> tuple[Step, ...]:
        """Return the steps by rule and shown group, in the order of the rules, the default last. Raises NotPriced."""
        shown: dict[tuple[int, str], Decimal] = {}
        for dimensions, quantity in measure.groups.items():
            attributes = attributes_of(dimensions)
            number = self._rule_for(attributes)
            place = (number, self._shown(number, attributes))
            shown[place] = shown.get(place, ZERO) + quantity
        steps: list[Step] = []
        for (number, part), quantity in sorted(shown.items()):
            price, package = self.default, None
            if number < len(self.rules):
                price, package = self.rules[number].unit_amount, self.rules[number].package_amount
            if package is not None and self.package_size is not None:
                steps += [
                    step._replace(part=part) for step in package_steps(quantity, self.package_size, package, self.round)
                ]
            elif quantity and price is not None:
                steps.append(Step("", quantity * price, quantity, price, part=part))
        return tuple(steps)

    def _rule_for(self, attributes: Mapping[str, str]) -> int:
        """Return the number of the most specific rule, that of the last plus one for the default. Raises NotPriced."""
        for pattern in self.patterns:
            if attributes.keys() >= pattern.names:
                number = pattern.rules.get(tuple(attributes[name] for name in pattern.exact))
                if number is not None:
                    return number
        if self.default is None:
            told = label(attributes) or "usage without attributes"
            raise NotPriced("no_rule", f"no rule of the matrix is for {told}, and there is no default")
        return len(self.rules)

    @cached_property
    def patterns(self) -> tuple[Pattern, ...]:
        """Return the rules by which attributes they name how, the most specific first."""
        found: dict[tuple[int, ...], dict[tuple[str, ...], int]] = {}
        for number, rule in enumerate(self.rules):
            ranks = tuple(
                0 if name not in rule.match else 1 if rule.match[name] == ANY else 2 for name in self.dimensions
            )
            exact = tuple(rule.match[name] for name, rank in zip(self.dimensions, ranks, strict=True) if rank == 2)
            found.setdefault(ranks, {})[exact] = number

        def specific(ranks: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
            return ranks.count(2), ranks.count(1), ranks

        def named(ranks: tuple[int, ...], *wanted: int) -> tuple[str, ...]:
            return tuple(name for name, rank in zip(self.dimensions, ranks, strict=True) if rank in wanted)

        return tuple(
            Pattern(named(ranks, 2), frozenset(named(ranks, 1, 2)), found[ranks])
            for ranks in sorted(found, key=specific, reverse=True)
        )

    def _shown(self, number: int, attributes: Mapping[str, str]) -> str:
        if number < len(self.rules) and self.rules[number].package_amount is not None:
            names: tuple[str, ...] = self.dimensions
            values: Mapping[str, str] = self.rules[number].match  # packages are counted by rule
        else:
            names, values = tuple(dict.fromkeys((*self.dimensions, *self.group_by))), attributes
        return label({name: values[name] for name in names if name in values})


def attributes_of(dimensions: str) -> dict[str, str]:
    """Return the attributes of a group (canonical JSON, or ''), each as text."""
    found = json.loads(dimensions, parse_int=str, parse_float=str) if dimensions else {}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in found.items()}


def label(attributes: Mapping[str, str]) -> str:
    """Return attributes as a person reads them: `cloud=aws, region=us`."""
    return ", ".join(f"{name}={value}" for name, value in attributes.items())
