"""Accounts in the store: what a period left, as JSON, by organisation, contract and the instant from which it holds."""

import datetime as dt
import json
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from rater.account import Account, Balance
from sinks.columns import SECOND, TEXT, U64, U128, build
from sinks.store import Store

_READ: Final = """
SELECT org_id, contract, account
FROM accounts FINAL
WHERE period_end = toDateTime({end:UInt32}, 'UTC')
"""

_LATEST: Final = """
SELECT org_id, contract, max(a.period_end), argMax(account, a.period_end)
FROM (SELECT * FROM accounts FINAL) AS a
WHERE a.period_end <= toDateTime({end:UInt32}, 'UTC')<org>
GROUP BY org_id, contract
"""
_LAYOUT: Final = {"org_id": U64, "contract": TEXT, "period_end": SECOND, "account": TEXT, "version": U128}

Key = tuple[int, str]
"""Organisation and contract."""


def read_accounts(store: Store, at: dt.datetime, orgs: Collection[int] | None = None) -> dict[Key, Account]:
    """Return the accounts that hold from an instant on. Contracts that remember nothing have none."""
    parameters: dict[str, Any] = {"end": int(at.timestamp())}
    where = ""
    if orgs is not None:
        where = " AND org_id IN {orgs:Array(UInt64)}"
        parameters["orgs"] = sorted(orgs)
    rows = store.query(_READ.rstrip() + where, parameters)
    return {(int(org), contract): from_json(text) for org, contract, text in rows}


def latest_accounts(store: Store, at: dt.datetime, org_id: int | None = None) -> dict[Key, tuple[dt.datetime, Account]]:
    """Return the last account of each contract that holds at an instant, with the instant from which it does."""
    parameters: dict[str, Any] = {"end": int(at.timestamp())}
    where = ""
    if org_id is not None:
        where = " AND org_id = {org:UInt64}"
        parameters["org"] = org_id
    rows = store.query(_LATEST.replace("<org>", where), parameters)
    return {(int(org), contract): (since, from_json(text)) for org, contract, since, text in rows}


def write_accounts(store: Store, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write accounts: `org_id`, `contract`, `period_end`, `account` (JSON) and `version` of each."""
    store.insert("accounts", build("accounts", _LAYOUT, rows))


def to_json(account: Account) -> str:
    """Return an account as JSON that is the same for the same account."""
    content = {
        "balances": [
            {
                "grant": one.grant,
                "start": one.start.isoformat(),
                "left": f"{one.left:f}",
                "expires": None if one.expires is None else one.expires.isoformat(),
                "rolled": one.rolled,
            }
            for one in account.balances
        ],
        "used_before": _numbers(account.used_before),
        "invoiced": _numbers(account.invoiced),
        "levels": _numbers(account.levels),
        "credit": f"{account.credit:f}",
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def from_json(text: str) -> Account:
    """Return the account that was written as JSON."""
    content = json.loads(text)
    return Account(
        balances=tuple(
            Balance(
                one["grant"],
                dt.date.fromisoformat(one["start"]),
                Decimal(one["left"]),
                None if one["expires"] is None else dt.datetime.fromisoformat(one["expires"]),
                one["rolled"],
            )
            for one in content["balances"]
        ),
        used_before=_decimals(content["used_before"]),
        invoiced=_decimals(content["invoiced"]),
        levels=_decimals(content["levels"]),
        credit=Decimal(content["credit"]),
    )


def _numbers(values: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: f"{value:f}" for name, value in values.items()}


def _decimals(values: Mapping[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(value) for name, value in values.items()}
