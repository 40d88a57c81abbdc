"""A second, dumb implementation: what an example of the vocabulary comes to, in fractions, by loops.

It shares no code with the product nor with the translation, and knows only the primitives for which a page is enough;
of anything else it says nothing. `line` is what is done to a line: rounded to cents, or left as it is.
"""

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor
from typing import Any, Final

from tests.examples.oracle_prices import MODELS, ZERO, Words, priced, rounded
from tests.examples.oracle_units import UNITS, in_part, overridden, versions, weighted

F = Fraction
Line = Callable[[F], F]


def answer(definition: Words, usage: Words, line: Line) -> F | None:
    """Return the amount; None where this page does not know the words."""
    known = ANSWERS.get(definition.get("model", ""))
    return None if known is None else known(definition, usage, line)


def _adjusted(d: Words, owed: F, line: Line) -> F:
    for word in d:
        if word == "discount_percent":
            owed -= line(owed * F(d[word]) / 100)
        elif word == "discount_amount":
            owed -= min(line(F(d[word])), owed)
        elif word == "minimum":
            owed = max(owed, line(F(d[word])))
        elif word == "maximum":
            owed = min(owed, line(F(d[word])))
    return owed


def _moments(u: Words) -> list[F] | None:
    u = {name: value for name, value in u.items() if name not in ("unit", "event")}
    if u.keys() == {"cumulative_quantities"}:
        return [F(q) for q in u["cumulative_quantities"]]
    known = next((word for word in ("already_billed_quantity", "already_metered") if word in u), "")
    if known and u.keys() <= {known, "quantity", "late", "new"}:
        more = [F(q) for name in ("late", "new") for q in u.get(name, [])]
        before = F(u[known])
        return [before, before + F(u.get("quantity", 0)) + sum(more, ZERO)]
    if u.keys() == {"records"} and not isinstance(u["records"][0], dict):
        return [sum(map(F, u["records"]), ZERO)]
    return [F(u["quantity"])] if u.keys() == {"quantity"} else None


def _counted(d: Words, u: Words, line: Line) -> F | None:
    if d.get("aggregation") == "weighted_sum":
        return weighted(d, u, line)
    if "override" in d:
        return overridden(d, u, line)
    if "plan_change" in u or "aggregation" in d or ("round" in d and d["model"] != "package"):
        return ZERO if "plan_change" in u else None
    if "threshold" in d or ("thresholds" in d and d["model"] != "threshold_multiplier"):
        return _progressive(d, u, line)
    if "rating_group" in d:
        return _records(d, u, line)
    if "window" in d:
        values = u.get("window_values", u.get("group_values"))
        return line(sum((priced(d, F(q)) for q in (values.values() if isinstance(values, dict) else values)), ZERO))
    if "period_1_billed" in u:
        return line(priced(d, F(u["period_1_now"]))) - line(priced(d, F(u["period_1_billed"])))
    if "prorated" in d or "days_billed" in u:
        return _prorated(d, u, line)
    moments = _moments(u)
    if moments is None:
        return None
    fee = line(F(d["recurring"])) if "recurring" in d else ZERO
    bills = [_adjusted(d, line(priced(d, q)) + fee, line) for q in moments]
    return bills[-1] - (bills[-2] if len(bills) > 1 else 0)


def _records(d: Words, u: Words, line: Line) -> F:
    groups: dict[Any, F] = {}
    for place, record in enumerate(u["records"]):
        key = place if d["rating_group"] == "record" else record["at"]
        groups[key] = groups.get(key, ZERO) + F(record["value"])
    return line(sum((priced(d, q) for q in groups.values()), ZERO))


def _prorated(d: Words, u: Words, line: Line) -> F | None:
    if "from_quantity" in u:
        part = F(u["days_left"], u["days_in_period"])
        old, new = (F(d["unit_amount"]) * F(u[word]) * part for word in ("from_quantity", "to_quantity"))
        return line(new) - line(old) if old != new else ZERO
    if "days_billed" in u:
        return line(priced(d, F(u["quantity"])) * F(u["days_billed"], u["days_in_period"]))
    return in_part(d, u, line)


def _progressive(d: Words, u: Words, line: Line) -> F:
    bounds = [F(found) for found in d.get("thresholds", [d.get("threshold")])]
    whole = F(u["terminated_on_day"], u["days_in_period"]) if "terminated_on_day" in u else F(1)
    billed = used = ZERO
    for more in u["units"]:
        used += F(more)
        now = line(priced(d, used))
        if sum(bound <= now for bound in bounds) > sum(bound <= billed for bound in bounds):
            billed = now
    return line(F(d.get("subscription_fee", 0)) * whole) + line(priced(d, used)) - billed


def _percentage(d: Words, u: Words, line: Line) -> F | None:
    values = [F(u["amount"])] if "amount" in u else None
    if values is None and isinstance(u.get("events"), list):
        values = [F(value) for value in u["events"]]
    if values is None:
        return None
    total, owed, free = ZERO, ZERO, "free_events" in d or "free_total" in d
    for number, value in enumerate(values, 1):
        left = value
        if free and "free_events" in d and number > d["free_events"]:
            free = False
        if free and "free_total" in d and total + value > F(d["free_total"]):
            free, left = False, total + value - F(d["free_total"])
        total += value
        if not free:
            one = left * F(d["percent"]) / 100 + F(d.get("fixed_per_event", 0))
            one = max(one, F(d["per_event_minimum"])) if "per_event_minimum" in d else one
            owed += min(one, F(d["per_event_maximum"])) if "per_event_maximum" in d else one
    return _adjusted(d, line(owed if total else ZERO), line)


def _of_money(d: Words, u: Words, line: Line) -> F:
    before = F(u.get("cumulative_before", 0))
    after = before + F(u.get("event_amount", u.get("amount", 0)))
    return line(priced(d, after)) - (line(priced(d, before)) if before else 0)


def _dynamic(d: Words, u: Words, line: Line) -> F | None:
    if "already_billed_amount" in u:
        return None
    amounts = u.get("event_amounts", [u.get("amount", 0)])
    cents = F(u["total_cents"]) / 100 if "total_cents" in u else ZERO
    return line((sum(map(F, amounts), ZERO) + cents) * F(d.get("multiplier", 1)))


def _matrix(d: Words, u: Words, line: Line) -> F | None:
    if "events" not in u and not {*d["dimensions"], "quantity"} <= u.keys():
        events = [{d["dimensions"][0]: name, "value": value} for name, value in u.items()]
    else:
        events = u.get("events") or [{**{name: u[name] for name in d["dimensions"]}, "value": u["quantity"]}]
    by_rule: dict[int, F] = {}
    for event in events:
        best, found = -1, -1
        for place, rule in enumerate(d["rules"]):
            same = [event.get(name) == value for name, value in rule["match"].items() if value != "*"]
            if all(same) and all(name in event for name in rule["match"]) and len(same) > best:
                best, found = len(same), place
        by_rule[found] = by_rule.get(found, ZERO) + F(event["value"])
    total = ZERO
    for place, quantity in by_rule.items():
        rule = d["rules"][place] if place >= 0 else {"unit_amount": d["default"]}
        packages = "package_amount" in rule
        amount = ceil(quantity / F(d["package_size"])) * F(rule["package_amount"]) if packages else None
        total += quantity * F(rule["unit_amount"]) if amount is None else amount
    return line(total)


def _flat(d: Words, u: Words, line: Line) -> F | None:
    if "versions" in d:
        return versions(d, u, line)
    told = {"days_billed", "days_in_period", "unused_days", "days_left", "divisor_days", "period_days"}
    if d.keys() - {"model", "amount", "interval", "trial_days", "lines", "alignment", "anniversary"}:
        return None
    if "lines" in d:
        return sum((line(F(amount)) for amount in d["lines"]), ZERO)
    days = [u[word] for word in ("days_billed", "unused_days", "days_left") if word in u]
    whole = [u[word] for word in ("days_in_period", "divisor_days", "period_days") if word in u]
    if not whole or u.keys() - told - {"window", "from_", "to"}:
        return None
    billed = max((days[0] if days else whole[0]) - int(d.get("trial_days", 0)), 0)
    return line(F(d["amount"]) * F(billed, whole[0]))


def _proration(d: Words, u: Words, line: Line) -> F | None:
    source = u if "days_left" in u else d
    if d.get("divisor") or "old_amount" not in d or "days_left" not in source:
        return None
    part = F(source["days_left"], source["days_in_period"])
    if d["old_amount"] == d["new_amount"]:
        return ZERO
    return line(F(d["new_amount"]) * part) - line(F(d["old_amount"]) * part) + line(F(d.get("next_period_advance", 0)))


def _commitment(d: Words, u: Words, line: Line) -> F | None:
    def settled(terms: Words, unit: F, q: F) -> tuple[F, F]:
        owed = unit * q
        if "commitment_quantity" in terms:
            promised = unit * F(terms["commitment_quantity"])
        elif "commitment_amount" in terms:
            promised = F(terms["commitment_amount"])
        else:
            return owed, ZERO
        more = max(owed - promised, ZERO) * (F(terms.get("overage_factor", 1)) - 1)
        return owed + more, max(promised - owed, ZERO) if terms.get("true_up") else ZERO

    if "charges" in d:
        amounts = [line(F(c["unit_amount"]) * F(q)) for c, q in zip(d["charges"], u["quantities"], strict=True)]
        found, short = settled(d, F(1), sum(amounts, ZERO))
        return sum(amounts, ZERO) + line(found - sum(amounts, ZERO)) + line(short)
    if "window" not in d:
        hours = {0: F(u["quantity"])}
    elif "hours" in u:
        hours = {int(hour): F(q) for hour, q in u["hours"].items()}
    else:
        hours = dict(enumerate(map(F, u["hour_quantities"] if "hour_quantities" in u else [u["hour_quantity"]])))
    owed = short = ZERO
    for hour, q in hours.items():
        bucket: Words = next((b for b in d.get("buckets", []) if (hour - b["from_hour"]) % 24 < _hours(b)), {})
        terms = bucket if "commitment_amount" in bucket or "commitment_quantity" in bucket else d
        more, less = settled(terms, F(bucket.get("unit_amount", d["unit_amount"])), q)
        owed, short = owed + more, short + less
    # The true-up is rounded together with its charge.
    return line(owed + short)


def _hours(bucket: Words) -> int:
    return int(bucket["to_hour"] - bucket["from_hour"]) % 24


def _summed(d: Words, u: Words, line: Line) -> F:
    parts = {part["unit"].lower(): part for part in d.get("parts", [])}
    parts |= {name: part for name, part in d.items() if isinstance(part, dict)}
    fees = [*u.get("lines", []), *u.get("parts", []), *([d["base"]] if "base" in d else [])]
    return sum((line(F(fee)) for fee in fees), ZERO) + sum(
        (line(priced(part, F(u[name]))) for name, part in parts.items()), ZERO
    )


def _plan_minimum(d: Words, u: Words, line: Line) -> F:
    part = F(u["days_billed"], u["days_in_period"]) if "days_billed" in u else F(1)
    used = priced(d["charge"], F(u["quantity"])) if "charge" in d else F(u.get("usage_amount", u.get("usage")))
    owed = line(F(d.get("subscription_fee", 0)) * part) + line(used)
    minimum = line(F(d["minimum"]) * (part if d.get("prorate") else 1))
    return max(minimum - owed, ZERO) if d.get("prorate") else max(minimum, owed)


def _coupons(d: Words, u: Words, line: Line) -> F | None:
    if "coupons" in d:
        return None
    owed = line(F(u["subtotal"]))
    for kind in d.get("order", ["percent", "amount"]):
        for value in d.get(f"{kind}s", []):
            owed = _adjusted({f"discount_{kind}": value}, owed, line)
    return owed


def _paid(d: Words, u: Words, line: Line) -> F | None:
    if d.get("overdraft"):
        return F(d["balance"]) - line(F(u["event"]))
    balances = [
        F(one["balance"] if "balance" in one else one["amount"]) for one in d.get("wallets", d.get("grants", []))
    ]
    balances += [F(d[word]) for word in ("balance", "credit") if word in d]
    owed = line(F(u.get("charge", u.get("invoice_total", u.get("burn", 0)))))
    for balance in balances:
        # Credit pays in whole cents.
        owed -= min(owed, F(floor(balance / F(1, 100)), 100) if line(F(1, 1000)) == 0 else balance)
    return owed


def _counts(d: Words, u: Words, line: Line) -> F | None:  # noqa: ARG001 - a quantity is no line
    if d.get("dedup") or d["function"] not in FUNCTIONS:
        return None
    values = u.get("values", [event["value"] for event in u.get("events", [])])
    names = [event["user"] for event in u["events"]] if "events" in u and "user" in u["events"][0] else values
    if d["function"] in ("unique", "unique_count", "count_unique"):
        return F(len(set(names)))
    return FUNCTIONS[d["function"]](list(map(F, values))) * F(d.get("multiplier", 1))


FUNCTIONS: Final[dict[str, Callable[[list[F]], F]]] = {
    "sum": lambda values: sum(values, ZERO),
    "count": lambda values: F(len(values)),
    "max": max,
    "average": lambda values: sum(values, ZERO) / len(values),
    **dict.fromkeys(("unique", "unique_count", "count_unique"), lambda values: F(len(values))),
}


def _discount(d: Words, u: Words, line: Line) -> F:
    amounts = [line(F(amount)) for amount in u.get("lines", u.get("charges"))]
    return max(sum(amounts, ZERO) - line(F(d["amount"])), ZERO)


ANSWERS: Final[dict[str, Callable[[Words, Words, Line], F | None]]] = {
    **UNITS,
    **dict.fromkeys(MODELS, _counted),
    "graduated_percentage": _of_money,
    "percentage": _percentage,
    "dynamic": _dynamic,
    "matrix": _matrix,
    "flat": _flat,
    "proration": _proration,
    "commitment": _commitment,
    "sum": _summed,
    **dict.fromkeys(("plan_minimum", "charge_minimum"), _plan_minimum),
    "coupons": _coupons,
    "discount": _discount,
    "adjustment": lambda d, u, line: _adjusted(d, line(F(u["subtotal"])), line),
    **dict.fromkeys(("prepaid", "account_credit", "wallets", "grants"), _paid),
    "aggregate": _counts,
    "round": lambda d, u, _: sum(
        (rounded(F(amount), F(d["to"]), d["mode"]) for amount in u.get("lines", [u.get("amount")])), ZERO
    ),
    "credits": lambda d, u, line: line(F(u["quantity"]) * F(d["credits_per_unit"])),
    "rollover": lambda d, u, _: (
        None
        if "order" in d
        else F(d["grant"])
        + min(
            max(F(d["grant"]) - rounded(F(u["used"]), F(1, 100)), ZERO),
            F(d["grant"]) if d["cap"] is None else F(d["cap"]),
        )
    ),
}
