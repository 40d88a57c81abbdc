"""Price books and contracts that are wrong: the message names the file, the line and the reason."""

import time
from decimal import Decimal
from pathlib import Path

import pytest

from rater.files import book_from, contracts_from, load_book, load_contracts
from schemas.errors import SettingsError

BOOK = """\
book: sample
revision: 1
plans:
  plan:
    currency: USD
    versions:
      - from: 2026-01-01
        charges:
          errors:
            category: error
            price: PRICE
"""
CONTRACT = """\
contracts:
  - org_id: 1
    id: one
    plan: plan
    currency: USD
    from: 2026-01-01
"""


def priced(price: str) -> str:
    return BOOK.replace("PRICE", price)


PER_UNIT = "{model: per_unit, unit_amount: 0.0011125}"
TIERS = "\n              model: graduated\n              tiers:\n"

WRONG_BOOKS = {
    "a price as a float": (priced("{model: per_unit, unit_amount: 1e-3}"), "book.yaml:11: 1e-3 is not a plain number"),
    "infinity": (priced("{model: per_unit, unit_amount: .inf}"), "book.yaml:11: .inf is not a plain number"),
    "not a number": (priced("{model: per_unit, unit_amount: .nan}"), "book.yaml:11: .nan is not a plain number"),
    "a number that looks octal": (priced("{model: per_unit, unit_amount: 007}"), "book.yaml:11: 007 is not a plain"),
    "a comma in a number": (priced('{model: per_unit, unit_amount: "1,5"}'), "'1,5' is not a plain decimal number"),
    "text for a price": (priced("{model: per_unit, unit_amount: cheap}"), "'cheap' is not a plain decimal number"),
    "yes for a price": (priced("{model: per_unit, unit_amount: true}"), "write a plain decimal number"),
    "a negative price": (priced("{model: per_unit, unit_amount: -1}"), "greater than or equal to 0"),
    "19 digits of fraction": (priced("{model: per_unit, unit_amount: 0.1234567890123456789}"), "no more than 18"),
    "a price of 40 digits": (priced("{model: per_unit, unit_amount: " + "9" * 40 + "}"), "no more than"),
    "a price of 39 digits, 18 after the point": (
        priced("{model: per_unit, unit_amount: " + "9" * 21 + "." + "9" * 18 + "}"),
        "no more than",
    ),
    "a number of 5,000 digits": (priced("{model: per_unit, unit_amount: " + "9" * 5000 + "}"), "5000 characters"),
    "a key twice": (
        priced(PER_UNIT) + "            category: span\n",
        "book.yaml:12: 'category' stands twice (first in line 10)",
    ),
    "a word that is not known": (
        priced(PER_UNIT) + "            categry: span\n",
        "book.yaml:12: …categry: is no word",
    ),
    "a model that is not known": (priced("{model: free_beer}"), "book.yaml:11: …price:"),
    "no category": (
        priced(PER_UNIT).replace("            category: error\n", ""),
        "say which category the price is for",
    ),
    "a category twice": (
        priced(PER_UNIT).replace("category: error", "categories: [error, error]"),
        "a category stands twice",
    ),
    "a fee that counts": (priced("{model: flat, amount: 1}"), "a fee for the period counts nothing"),
    "a category priced twice": (
        priced(PER_UNIT) + "        free: [error]\n",
        "category 'error' is priced twice: by charge 'errors' and by free",
    ),
    "tiers that fall": (
        priced(TIERS + "                - {up_to: 10}\n                - {up_to: 10}\n                - {up_to: null}"),
        "book.yaml:15: …graduated.tiers.1.up_to: up_to 10 is not above",
    ),
    "tiers that end": (
        priced(TIERS + "                - {up_to: 10}\n                - {up_to: 20}"),
        "book.yaml:15: …graduated.tiers.1.up_to: the last tier needs up_to: null",
    ),
    "an open tier in the middle": (
        priced(TIERS + "                - {up_to: null}\n                - {up_to: 20}"),
        "book.yaml:14: …graduated.tiers.0.up_to: only the last tier",
    ),
    "no tiers": (priced("{model: volume, tiers: []}"), "at least 1 item"),
    "a package of nothing": (priced("{model: package, package_size: 0, package_amount: 1}"), "greater than 0"),
    "a conversion that never ends": (
        priced(PER_UNIT) + "            convert: {divide: 3600000}\n",
        "dividing by 3,600,000 gives fractions that never end",
    ),
    "an unknown currency": (priced(PER_UNIT).replace("USD", "XYZ"), "XYZ is not a currency of ISO 4217"),
    "a day that is none": (priced(PER_UNIT).replace("2026-01-01", "2026-02-30"), "book.yaml:7: 2026-02-30 is no day"),
    "until before from": (
        priced(PER_UNIT).replace("from: 2026-01-01", "from: 2026-01-01\n        until: 2025-01-01"),
        "is not after from",
    ),
    "a revision of zero": (priced(PER_UNIT).replace("revision: 1", "revision: 0"), "book.yaml:2: revision:"),
    "an anchor": (priced("&x " + PER_UNIT), "book.yaml:11: anchors and aliases are not taken"),
    "an alias": (priced("*x"), "book.yaml:11: anchors and aliases are not taken"),
    "a merge key": (priced("{<<: {model: flat}, amount: 1}"), "book.yaml:11:"),
    "a tag": (priced("!!python/object/apply:os.system [id]"), "book.yaml:11: tags are not taken"),
    "two documents": (priced(PER_UNIT) + "---\nbook: other\n", "book.yaml:12: a second document begins"),
    "a list": ("- 1\n", "book.yaml:1: the file: must be a mapping, as in"),
    "an empty file": ("", "book.yaml:1: the file: must be a mapping, as in `name: value`, and is empty"),
    "a word that is misspelt": (priced("{model: flat, amuont: 1}"), "flat.amuont: is no word that is known here"),
    "a tab": (priced(PER_UNIT) + "\tx: 1\n", "book.yaml:12:"),
    "an open bracket": (priced("{model: per_unit"), "book.yaml:12:"),
    "nested without end": (priced("[" * 3000), "book.yaml:11: nested deeper than 24 levels"),
}


@pytest.mark.parametrize("name", WRONG_BOOKS)
def test_a_wrong_book_is_refused_with_file_line_and_reason(name: str) -> None:
    text, part = WRONG_BOOKS[name]
    with pytest.raises(SettingsError) as caught:
        book_from("book.yaml", text)
    assert part in str(caught.value).replace("plans.plan.versions.0.charges.errors.price.", "…").replace(
        "plans.plan.versions.0.charges.errors.", "…"
    )
    assert len(str(caught.value)) < 5_000


WRONG_CONTRACTS = {
    "a fraction of an organisation": (
        CONTRACT.replace("org_id: 1", "org_id: 1.5"),
        "contracts.yaml:2: contracts.0.org_id",
    ),
    "an organisation by name": (CONTRACT.replace("org_id: 1", "org_id: acme"), "contracts.yaml:2: contracts.0.org_id"),
    "a negative organisation": (
        CONTRACT.replace("org_id: 1", "org_id: -1"),
        "contracts.yaml:2: contracts.0.org_id: must be greater than or equal to 0",
    ),
    "the same twice": (CONTRACT + CONTRACT.partition("\n")[2], "contract 'one' of organisation 1 stands twice"),
    "no plan": (CONTRACT.replace("    plan: plan\n", ""), "contracts.yaml:2: contracts.0.plan: Field required"),
    "an included quantity as a float": (
        CONTRACT + "    included: {errors: 1e3}\n",
        "contracts.yaml:7: 1e3 is not a plain",
    ),
    "a negative included quantity": (
        CONTRACT + "    included: {errors: -1}\n",
        "contracts.yaml:7: contracts.0.included.errors",
    ),
    "none": ("contracts: []\n", "contracts.yaml:1: contracts: List should have at least 1 item"),
    "a word that is not known": (CONTRACT + "    includes: {}\n", "contracts.yaml:7: contracts.0.includes"),
}


@pytest.mark.parametrize("name", WRONG_CONTRACTS)
def test_wrong_contracts_are_refused_with_file_line_and_reason(name: str) -> None:
    text, part = WRONG_CONTRACTS[name]
    with pytest.raises(SettingsError) as caught:
        contracts_from("contracts.yaml", text)
    assert part in str(caught.value)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        contracts_from("c.yaml", CONTRACT.replace("USD", "dollars").replace("id: one", "id: ONE"))
    assert sorted(line.split(": ")[1] for line in str(caught.value).splitlines()) == [
        "contracts.0.currency",
        "contracts.0.id",
    ]


def test_a_ladder_of_100_000_tiers_is_refused_and_not_a_hang() -> None:
    tiers = "".join(f"                - {{up_to: {n}, unit_amount: 0.{n:040}}}\n" for n in range(1, 100_001))
    begun = time.monotonic()
    with pytest.raises(SettingsError) as caught:
        book_from("book.yaml", priced(TIERS + tiers))
    assert time.monotonic() - begun < 60
    assert len(str(caught.value).splitlines()) <= 21


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(SettingsError, match=r"price book /dev/zero: larger than 16,777,216 bytes"):
        load_book(Path("/dev/zero"))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"price book .*none\.yaml: cannot be read: No such file"):
        load_book(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"contracts: \xe9\n")
    with pytest.raises(SettingsError, match=r"contracts file .*latin\.yaml: is not UTF-8 text \(byte 11\)"):
        load_contracts(tmp_path / "latin.yaml")


def test_a_hash_is_of_what_a_file_says_and_not_of_how_it_looks() -> None:
    plain = priced(PER_UNIT)
    commented = "# said before\n" + plain.replace(
        PER_UNIT, "\n              model: per_unit\n              unit_amount: 0.0011125"
    )
    assert book_from("a", plain).content_hash == book_from("b", commented).content_hash
    dearer = plain.replace("0.0011125", "0.0011126")
    assert book_from("a", plain).content_hash != book_from("a", dearer).content_hash


def test_numbers_come_from_their_text_with_every_digit() -> None:
    book = book_from("b", priced("{model: per_unit, unit_amount: 0.100000000000000001}"))
    charge = book.plans["plan"].versions[0].charges["errors"]
    assert str(charge.price.owed(Decimal(3))) == "0.300000000000000003"
