"""The sample price book and contracts: complete, and what they say of a few organisations."""

from decimal import Decimal
from pathlib import Path

import pytest

import tally
from rater.files import load_book, load_contracts
from rater.rate import rate
from rater.render import document, text
from schemas.catalogue import load_catalogue
from schemas.period import Period
from tests.rater.books import NOVEMBER, rated, used

DATA = Path(tally.__file__).with_name("data")
BOOK = load_book(DATA / "prices.yaml")
CONTRACTS = load_contracts(DATA / "contracts.yaml")


@pytest.mark.parametrize("plan", BOOK.plans)
def test_every_category_is_priced_or_free_in_every_version(plan: str) -> None:
    names = set(load_catalogue().names)
    for version in BOOK.plans[plan].versions:
        known = [category for charge in version.charges.values() for category in charge.counted] + version.free
        assert set(known) == names
        assert len(known) == len(names)


def test_every_contract_can_be_rated_in_every_month_of_two_years() -> None:
    for year in (2025, 2026):
        for month in range(1, 13):
            for org in (1, 2, 3, 42):
                rated(BOOK, used(org, error=1), CONTRACTS, Period.month(year, month))


@pytest.mark.parametrize(
    ("quantities", "total"),
    [
        ({}, "89.00"),
        ({"error": 50_000}, "89.00"),
        ({"error": 40_000, "default": 12_345, "security": 10_000}, "102.73"),  # 89 + 13.7338125
        ({"error": 100_000}, "144.63"),  # 89 + 50,000 × 0.0011125
        ({"error": 600_000}, "432.13"),  # + 400,000 × 0.000625 + 100,000 × 0.000375
        ({"span": 100_000_001}, "469.00"),  # 89 + 95,000,000 × 0.000004 + 0.0000036
        ({"replay": 5_001}, "107.57"),  # 89 + 4,950 × 0.00375 + 0.003563
        ({"attachment": 3_500_000_000, "log_byte": 6_000_000_000}, "90.28"),  # 89 + 0.78125 + 0.50
        ({"profile_duration": 12_345_678}, "89.11"),  # 89 + 3.42 × 0.0315
        ({"monitor_seat": 3, "uptime": 2}, "91.56"),  # 89 + 1.56 + 1.00
        ({"session": 10**12}, "89.00"),
    ],
)
def test_list_price(quantities: dict[str, int], total: str) -> None:
    assert rated(BOOK, used(7, **quantities), CONTRACTS).total == Decimal(total)


def test_own_contracts_override_what_is_included() -> None:
    assert rated(BOOK, used(1, error=200_001), CONTRACTS).total == Decimal("89.00")
    assert rated(BOOK, used(42, log_byte=10**9, replay=500), CONTRACTS).total == Decimal("89.50")
    assert rated(BOOK, used(2, span=10**8 + 1), CONTRACTS).total == Decimal("2800.00")


def test_a_statement_as_a_person_reads_it() -> None:
    rating = rate(BOOK, CONTRACTS, used(7, error=62_345), NOVEMBER)
    printed = text(rating, complete_to=None)
    assert "50,000 included; 12,345 × 0.0011125 = 13.7338125; rounded to 13.73" in printed
    assert "used: 62,345 error" in printed
    assert "Provisional: how complete the usage of 2026-11 is cannot be said yet" in printed
    assert BOOK.content_hash[:16] in printed
    ends = [line for line in printed.splitlines() if line.endswith(("89.00", "13.73", "102.73"))]
    assert len({len(line) for line in ends if not line.startswith("    ")}) == 1, "amounts are aligned"


def test_a_statement_as_a_machine_reads_it() -> None:
    found = document(rate(BOOK, CONTRACTS, used(7, error=62_345), NOVEMBER), complete_to=NOVEMBER.end, period=NOVEMBER)
    assert not found["provisional"]
    assert found["complete_to"] == "2026-12-01T00:00:00Z"
    statement = found["statement"]
    assert statement["total"] == "102.73"
    errors = statement["lines"][1]
    assert (errors["quantity"], errors["amount"], errors["exact"]) == ("62345", "13.73", "13.7338125")
    assert [step["amount"] for step in errors["steps"]] == ["0", "13.7338125"]
