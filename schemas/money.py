"""Money: exact decimals, one rounding function, amounts that refuse to mix currencies.

Nothing here depends on the ambient decimal context: arithmetic happens inside `exact()`, whose context traps every
operation that would lose a digit, and every comparison with a float.
"""

import decimal
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

EXACT: Final = decimal.Context(
    prec=400,  # quantity (39 digits) × conversion, price, overage factor, rate of a unit (38 each), and room to spare
    rounding=decimal.ROUND_HALF_EVEN,
    traps=[
        decimal.Inexact,
        decimal.Rounded,
        decimal.Subnormal,
        decimal.Overflow,
        decimal.DivisionByZero,
        decimal.InvalidOperation,
        decimal.FloatOperation,
    ],
)

RoundingMode = Literal["half_away", "half_even", "up", "down"]
"""Halves away from zero; halves to the even neighbour; always away from zero; always towards zero."""

MINOR_UNITS: Final[dict[str, int]] = {
    **dict.fromkeys(
        [
            "AED",
            "AFN",
            "ALL",
            "AMD",
            "AOA",
            "ARS",
            "AUD",
            "AWG",
            "AZN",
            "BAM",
            "BBD",
            "BDT",
            "BMD",
            "BND",
            "BOB",
            "BOV",
            "BRL",
            "BSD",
            "BTN",
            "BWP",
            "BYN",
            "BZD",
            "CAD",
            "CDF",
            "CHE",
            "CHF",
            "CHW",
            "CNY",
            "COP",
            "COU",
            "CRC",
            "CUP",
            "CVE",
            "CZK",
            "DKK",
            "DOP",
            "DZD",
            "EGP",
            "ERN",
            "ETB",
            "EUR",
            "FJD",
            "FKP",
            "GBP",
            "GEL",
            "GHS",
            "GIP",
            "GMD",
            "GTQ",
            "GYD",
            "HKD",
            "HNL",
            "HTG",
            "HUF",
            "IDR",
            "ILS",
            "INR",
            "IRR",
            "JMD",
            "KES",
            "KGS",
            "KHR",
            "KPW",
            "KYD",
            "KZT",
            "LAK",
            "LBP",
            "LKR",
            "LRD",
            "LSL",
            "MAD",
            "MDL",
            "MGA",
            "MKD",
            "MMK",
            "MNT",
            "MOP",
            "MRU",
            "MUR",
            "MVR",
            "MWK",
            "MXN",
            "MXV",
            "MYR",
            "MZN",
            "NAD",
            "NGN",
            "NIO",
            "NOK",
            "NPR",
            "NZD",
            "PAB",
            "PEN",
            "PGK",
            "PHP",
            "PKR",
            "PLN",
            "QAR",
            "RON",
            "RSD",
            "RUB",
            "SAR",
            "SBD",
            "SCR",
            "SDG",
            "SEK",
            "SGD",
            "SHP",
            "SLE",
            "SOS",
            "SRD",
            "SSP",
            "STN",
            "SVC",
            "SYP",
            "SZL",
            "THB",
            "TJS",
            "TMT",
            "TOP",
            "TRY",
            "TTD",
            "TWD",
            "TZS",
            "UAH",
            "USD",
            "USN",
            "UYU",
            "UZS",
            "VED",
            "VES",
            "WST",
            "XAD",
            "XCD",
            "XCG",
            "YER",
            "ZAR",
            "ZMW",
            "ZWG",
        ],
        2,
    ),
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}
"""Digits after the point of each currency's minor unit (ISO 4217)."""

MINOR_STEPS: Final = {code: Decimal(1).scaleb(-digits) for code, digits in MINOR_UNITS.items()}
"""The smallest amount of each currency: 0.01 for USD, 1 for JPY."""


_ZERO: Final = Decimal(0)


def exact() -> AbstractContextManager[decimal.Context]:
    """Return a context in which decimal arithmetic is exact or raises; enter it around any arithmetic with money."""
    return decimal.localcontext(EXACT)


def steps_in(value: Decimal, step: Decimal, mode: RoundingMode) -> Decimal:
    """Return how many whole `step`s (> 0) make `value`, rounded as `mode` says: the only rounding there is.

    Call it inside `exact()`. Dividing is part of it, so that a quotient is rounded once, from its exact value.
    """
    count, rest = divmod(value, step)
    if rest and mode != "down":
        twice = abs(rest + rest)
        if mode == "up" or twice > step or (twice == step and (mode == "half_away" or count % 2 != 0)):
            count += 1 if rest > 0 else -1
    return count + _ZERO  # never a negative zero


def round_to(value: Decimal, step: Decimal, mode: RoundingMode = "half_away") -> Decimal:
    """Return the multiple of `step` (> 0) that `value` rounds to."""
    with exact():
        return steps_in(value, step, mode) * step


class CurrencyMismatch(ValueError):
    """Amounts of two currencies met: an error in the program, never in the data."""


@dataclass(frozen=True, slots=True)
class Amount:
    """An exact amount of one currency; arithmetic and comparison with another currency raise CurrencyMismatch."""

    number: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.number, Decimal) or not self.number.is_finite():
            raise TypeError(f"an amount is a finite Decimal, not {self.number!r}")

    def __add__(self, other: "Amount") -> "Amount":
        with exact():
            return Amount(self.number + self._other(other), self.currency)

    def __sub__(self, other: "Amount") -> "Amount":
        with exact():
            return Amount(self.number - self._other(other), self.currency)

    def __neg__(self) -> "Amount":
        return Amount(self.number.copy_negate() if self.number else self.number, self.currency)

    def __lt__(self, other: "Amount") -> bool:
        return self.number < self._other(other)

    def __le__(self, other: "Amount") -> bool:
        return self.number <= self._other(other)

    def __str__(self) -> str:
        return f"{self.number:,f} {self.currency}"

    def rounded(self, mode: RoundingMode = "half_away") -> "Amount":
        """Return the amount in whole minor units of its currency. Raises KeyError for an unknown currency."""
        return Amount(round_to(self.number, MINOR_STEPS[self.currency], mode), self.currency)

    def _other(self, other: "Amount") -> Decimal:
        if self.currency != other.currency:
            raise CurrencyMismatch(f"{self} and {other} do not add up: convert one by a stated rate first")
        return other.number


def A(text: str) -> Amount:  # noqa: N802 - reads like a ledger: A("100 USD")
    """Return the amount written as number and currency: `A("1,234.50 USD")`."""
    number, _, currency = text.partition(" ")
    return Amount(Decimal(number.replace(",", "")), currency)
