"""Charges that count something: the price models, with what may stand beside them in the same definition."""

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from schemas.money import exact
from tests.examples.case import (
    PERIOD,
    Bill,
    Case,
    Charge,
    NotUnderstood,
    Words,
    count,
    fee,
    listed,
    mapping,
    number,
    one,
    rounding,
    text,
    used,
    written,
)
from tests.examples.words import aggregates, fees, lengths, progressive
from tests.examples.words.usage import (
    day,
    dynamic_events,
    in_spans,
    matrix_events,
    percentage_events,
    quantities,
    records,
)

MODELS: Final[dict[str, tuple[str, ...]]] = {
    "package": ("package_size", "package_amount", "round"),
    "per_unit": ("unit_amount",),
    "graduated": ("tiers",),
    "volume": ("tiers",),
    "stairstep": ("tiers",),
    "percentage": (
        "percent",
        "fixed_per_event",
        "free_events",
        "free_total",
        "per_event_minimum",
        "per_event_maximum",
    ),
    "graduated_percentage": ("tiers",),
    "dynamic": ("multiplier",),
    "matrix": ("dimensions", "rules", "default", "package_size", "group_by", "round"),
    "threshold_multiplier": ("unit_amount", "thresholds"),
}
"""The words of each model that counts something: the price book's own."""
NEEDED: Final = frozenset({"package_size", "package_amount", "unit_amount", "tiers", "percent", "dimensions", "rules"})
NUMBERS: Final = frozenset({"up_to", "unit_amount", "flat_amount", "percent", "from", "multiplier", "package_amount"})
"""Numbers of a tier, a threshold or a rule."""
GUESSED: Final = ("package", "threshold_multiplier", "percentage", "per_unit", "graduated", "matrix")
ADJUSTED: Final = {
    "discount_percent": ("discount_percent", "percent"),
    "discount_amount": ("discount_amount", "amount"),
    "minimum": ("minimum", "amount"),
    "maximum": ("maximum", "amount"),
}
"""Words for what is agreed beyond the price, as adjustments of a price book; they apply in the order of the words."""
PACKAGES: Final = {"ceil": "up", "ceiling": "up", "floor": "down"}


def usage_based(model: str, words: Words, uses: Words) -> Case:
    """Translate a definition whose model counts something."""
    if words.has("rating_group") or words.has("window"):
        return _in_parts(words, uses, model)
    if words.has("prorated") or uses.has("days_billed"):
        return fees.prorated_usage(words, uses, charge_of(words, model), model)
    if words.has("threshold") or (words.has("thresholds") and model != "threshold_multiplier"):
        return progressive.thresholds(words, uses, charge_of(words, model))
    if words.has("versions"):
        return _versions(model, words, uses)
    function = words.take("aggregation")
    if function is not None:
        aggregates.known(function)
    if function == "weighted_sum":
        return aggregates.weighted_sum(words, uses, charge_of(words, model))
    if uses.has("period_1_billed"):
        return progressive.late(charge_of(words, model), uses)
    if uses.has("plan_change"):
        uses.take("plan_change")
        return fees.usage_while_the_price_changes(charge_of(words, model))
    told = words.take("round") if model not in ("package", "matrix") else None
    ladder = listed(words.need("tiers")) if "tiers" in MODELS[model] else None
    if ladder is not None:
        words = Words({**words.rest(), "tiers": ladder}, model)
    override = words.take("override")
    more = agreed(words)
    charge = charge_of(words, model)
    recurring = words.take("recurring")
    words.done()
    contract = _override(override, uses)
    before = uses.take("already_billed_amount")
    bills = _bills(charge, model, uses, ladder, function)
    if recurring is not None:
        bills = [replace(bill, charges=(*bill.charges, fee(recurring))) for bill in bills]
    bills = [replace(bill, plan=more, contract=contract) for bill in bills]
    case = Case(tuple((bill,) for bill in bills), rounding(told) if told else None)
    if before is None:
        return case
    if len(bills) > 1:
        return replace(case, before=number(before))
    # Only the money of what came before is known: it stands beside the charge, under the same limits.
    (bill,) = bills
    first = Bill((fee(before),), plan=more, contract=contract)
    both = replace(first, charges=(fee(before), *bill.charges), uses=bill.uses)
    return replace(case, moments=((first,), (both,)))


def _versions(model: str, words: Words, uses: Words) -> Case:
    """Prices that hold from a day on, of usage with its days or of a quantity that all lies in one period."""
    found: list[tuple[str, Charge]] = []
    for version in [Words(told, "a version") for told in listed(words.take("versions"))]:
        since = version.any("effective_for_existing", "effective", "from")
        found.append(("" if since is None else f"{day(since)}", charge_of(version, model)))
        version.done()
    if not found or not all(since for since, _ in found[1:]):
        raise NotUnderstood("versions without the day from which they hold")
    name = next((word for word in ("records", "events") if uses.has(word)), None)
    period = fees.named_period(uses.take("period")) if uses.has("period") else None
    usage = used(number(uses.need("quantity"))) if name is None else records(uses.take(name))
    if name is None:
        usage = usage._replace(first_window=(period or PERIOD).start, last_window=(period or PERIOD).start)
    later = tuple((since, (charge,)) for since, charge in found[1:])
    return one(Bill((found[0][1],), (usage,), changed=later, period=period or _month_of(usage)))


def charge_of(words: Words, model: str | None = None) -> Charge:
    """Return the charge of a definition that counts a quantity."""
    model = model or guessed(words)
    if model not in MODELS:
        raise NotUnderstood(f"model {model!r}")
    price: dict[str, Any] = {"model": model}
    for word in MODELS[model]:
        value = words.take(word)
        if value is not None:
            price[word] = _priced(word, value)
        elif word in NEEDED and not (model == "matrix" and word == "package_size"):
            raise NotUnderstood(f"{model}: {word} not given")
    if model == "dynamic" and "sum" not in text(words.take("rule", "sum")):
        raise NotUnderstood("dynamic: a rule that is no sum")
    words.told("bound", "lower_inclusive", "upper_inclusive")  # told of tiers that are restated with inclusive ends
    charge: Charge = {"price": price}
    free = [number(value) for _, value in words.listed("included", "usage_discount")]
    if free:
        with exact():
            charge["included"] = f"{sum(free, Decimal(0)):f}"
    if convert := _conversion(words):
        charge["convert"] = convert
    if model == "package" and price.get("round") == "none":
        _in_proportion(charge)
    if (rate := words.take("conversion_rate")) is not None:
        charge["custom_unit"] = {"rate": written(rate)}
    return charge


def _priced(word: str, value: Any) -> Any:
    if word == "tiers":
        return tiers(value)
    if word == "free_events":
        return count(value)
    if word == "round":
        return PACKAGES.get(value, value) if isinstance(value, str) else value
    if word in ("thresholds", "rules"):
        return [_numbers(one_) for one_ in listed(value)]
    if word in ("dimensions", "group_by"):
        return [text(name) for name in listed(value)]
    return written(value)


def _numbers(told: Any) -> dict[str, Any]:
    return {
        name: written(value) if name in NUMBERS else value for name, value in mapping(told).items() if value is not None
    }


def tiers(told: Any) -> list[dict[str, Any]]:
    """Return tiers as a price book writes them: open at the end, where an example that closes it asks for nothing."""
    found = [_numbers(tier) for tier in listed(told)]
    for tier in found:
        if unknown := tier.keys() - NUMBERS - {"note"}:
            raise NotUnderstood(f"tiers: {', '.join(sorted(unknown))}")
        tier.pop("note", None)
    if not found:
        raise NotUnderstood("tiers: none")
    found[-1]["up_to"] = None
    return found


def model_of(words: Words) -> str | None:
    """Return the model that a part of an example names, where it names one."""
    model = words.take("model")
    return None if model is None else text(model)


def guessed(words: Words) -> str:
    """Return the model of a price without one, by the words that it alone has."""
    for model in GUESSED:
        if all(words.has(word) for word in MODELS[model] if word in NEEDED or word == "thresholds"):
            return model
    raise NotUnderstood("a price without a model")


def _conversion(words: Words) -> dict[str, Any]:
    """Return how counted units become priced ones: ÷ or ×, and a rounding."""
    found: dict[str, Any] = {}
    if (size := words.take("block_size")) is not None:
        found = {"divide": written(size), "round": {"mode": "up"}}  # tiers count blocks; one begun is a block
    for word, value in words.listed("divide", "multiply"):
        if found:
            raise NotUnderstood(f"{word} beside another conversion")
        found[word] = written(value)
    if (rule := words.take("quantity_round")) is not None:
        if "round" in found:
            raise NotUnderstood("quantity_round beside block_size")
        told = rounding(rule)
        found["round"] = {"mode": told.mode, "to": f"{told.to:f}"}
    return found


def _in_proportion(charge: Charge) -> None:
    """Turn packages that may be sold in parts into units of a package's size."""
    size = number(charge["price"]["package_size"])
    if "convert" in charge or not size:
        raise NotUnderstood("packages in proportion, of converted units")
    with exact():
        if Decimal(10**18) % size:
            raise NotUnderstood(f"packages of {size}, sold in proportion: a unit's part of one never ends")
    charge["price"] = {"model": "per_unit", "unit_amount": charge["price"]["package_amount"]}
    charge["convert"] = {"divide": f"{size:f}"}
    if "included" in charge:
        with exact():
            whole, rest = divmod(number(charge["included"]).scaleb(18), size)
            if rest:
                raise NotUnderstood(f"{charge['included']} included of packages of {size}, sold in proportion")
            charge["included"] = f"{whole.scaleb(-18):f}"


def agreed(words: Words) -> dict[str, Any]:
    """Return what is agreed beyond the price, in the order in which the example says it."""
    found = []
    for word, value in words.listed(*ADJUSTED, "discount_percents"):
        kind, field = ADJUSTED.get(word, ("discount_percent", "percent"))
        values = listed(value) if word not in ADJUSTED else [value]
        found += [{"kind": kind, field: written(each)} for each in values if each is not None]
    return {"adjustments": found} if found else {}


def _override(told: Any, uses: Words) -> dict[str, Any]:
    """Return the contract's override where the usage is in its scope."""
    if told is None:
        return {}
    words = Words(told, "override")
    mine, theirs = text(words.take("scope", "")), text(uses.take("scope", ""))
    change = words.rest()
    if not theirs or re.match(r"(an)?other|a different|no ", theirs):
        return {}
    if theirs != mine and not re.match(r"that |the same |this ", theirs):
        raise NotUnderstood(f"usage of scope {theirs!r}, and an override of {mine!r}")
    if change.keys() in ({"multiply"}, {"multiplier"}):
        (factor,) = change.values()
        return {"overrides": [{"charge": "charge-0", "multiply": written(factor)}]}
    return {"overrides": [{"charge": "charge-0", "change": {word: _priced(word, change[word]) for word in change}}]}


def _bills(charge: Charge, model: str, uses: Words, ladder: Any, function: Any) -> list[Bill]:
    if function is not None and (uses.has("values") or uses.has("events")) and model != "percentage":
        charge["aggregate"], usage = aggregates.measured(text(function), uses)
        return [Bill((charge,), (usage,))]
    if model == "percentage":
        # A sum stands in for events where each would cost the same share of it.
        return [Bill((charge,), (_of_percentage(uses, charge["price"]),))]
    if model == "dynamic":
        return [Bill((charge,), (dynamic_events(uses),))]
    if model == "matrix":
        return [Bill((charge,), (matrix_events(uses, charge["price"]),))]
    if model == "graduated_percentage":
        more = uses.one("event_amount", "amount", "events", "amounts")
        found = [number(uses.take("cumulative_before", "0"))]
        with exact():
            for amount in more if isinstance(more, list) else [more]:
                found.append(found[-1] + number(amount))
        if isinstance(more, list):
            return [Bill((charge,), (used(found[0]),)), Bill((charge,), (used(found[-1]),))][not found[0] :]
        return [Bill((charge,), (used(at),)) for at in (found if found[0] else found[1:])]
    known = quantities(uses)
    _within_the_ladder(ladder, charge, known)
    return [Bill((charge,), (used(quantity),)) for quantity in known]


def _of_percentage(uses: Words, price: Mapping[str, Any]) -> Any:
    running = uses.take("running_totals")
    if running is None:
        return percentage_events(uses)
    told = {"running_totals": running, "events": uses.need("events"), "total": uses.need("total")}
    after = count(told["events"]) - len(listed(running))
    free, limit = price.get("free_events"), price.get("free_total")
    ended = (free is not None and free <= len(running)) or (
        limit is not None and bool(running) and number(running[-1]) > number(limit)
    )
    limited = "per_event_minimum" in price or "per_event_maximum" in price
    if after > 1 and (limited or ((free is not None or limit is not None) and not ended)):
        raise NotUnderstood(f"running totals of {len(running)} of {told['events']} events, whose prices need each")
    return percentage_events(Words(told, "usage"))


def _within_the_ladder(ladder: Any, charge: Charge, known: list[Decimal]) -> None:
    end = mapping(ladder[-1]).get("up_to") if ladder else None
    if end is None:
        return
    convert = charge.get("convert", {})
    with exact():
        most = (number(end) + number(charge.get("included", "0"))) * number(convert.get("divide", "1"))
        if any(quantity * number(convert.get("multiply", "1")) > most for quantity in known):
            raise NotUnderstood(f"a quantity above {end}, where the tiers end")


def _in_parts(words: Words, uses: Words, model: str) -> Case:
    """Tiers that begin anew in every window, group or record."""
    if by := words.take("rating_group"):
        groups = {"record": "event", "start_date": "day", "billing_period": None}
        if not isinstance(by, str) or by not in groups:
            raise NotUnderstood(f"rating_group {by!r}")
        charge = {**charge_of(words, model), **({} if groups[by] is None else {"each": groups[by]})}
        found = records(uses.need("records"))
        return one(Bill((charge,), (found,), period=_month_of(found)))
    window = text(words.need("window"))
    told = set(re.findall(r"[a-z]+", window.lower()))
    timed = {"bucket", "buckets", "window", "hour", "hourly", "day", "daily"} & told
    if told - timed - {"max", "maximum", "sum", "per", "each", "group", "groups", "and", "of", "in"} or not told:
        raise NotUnderstood(f"window {window!r}")
    found_ = in_spans(uses)
    if found_ is None:
        raise NotUnderstood(f"window {window!r} without windows")
    span, usage = found_
    if {"day", "daily"} & told and span == "hour" and {"hour", "hourly"} & told:
        raise NotUnderstood(f"window {window!r}")
    each: list[str] = ["day" if {"day", "daily"} & told else span] if timed and span else []
    each += ["group"] if {"group", "groups"} & told else []
    if not each:
        raise NotUnderstood(f"window {window!r} of this usage")
    charge = {**charge_of(words, model), "each": each}
    if {"max", "maximum"} & told:
        charge["aggregate"] = "max"
    plan = agreed(words)
    return one(Bill((charge,), (usage,), plan=plan))


def _month_of(found: Any) -> Any:
    return lengths.month_of(min(event.at for event in found.kept)) if found.kept else lengths.month_of(None)
