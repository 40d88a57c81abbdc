"""`tally prices`: every mistake is told with its file, line and reason, and none makes it hang."""

import json
import resource
from pathlib import Path
from textwrap import dedent

import pytest

import tally as package
from rater.book import BookFile
from rater.changes import differences
from rater.checks import Problem, check
from rater.contract import ContractsFile
from rater.files import book_from, load_book
from rater.strict_yaml import MAX_BYTES
from schemas.catalogue import Catalogue, Category, Keep
from schemas.errors import SettingsError
from tally.cli import run
from tests.cli.conftest import Answer, Tally

DATA = Path(package.__file__).with_name("data")
CATALOGUE = Catalogue(
    (
        Category(id=1, name="error"),
        Category(id=2, name="span"),
        Category(id=3, name="sale", keep=Keep(amount="total")),
        Category(id=4, name="seat", keep=Keep(value="user")),
    )
)
HEAD = """\
book: book
revision: 1
plans:
  plan:
    currency: USD
    versions:
"""
VERSION = """\
      - from: 2020-01-01
        charges:
          fee: {price: {model: flat, amount: 10}}
          errors: {category: error, included: 5, price: {model: per_unit, unit_amount: 0.01}}
          spans: {category: span, price: {model: volume, tiers: [{up_to: 9, unit_amount: 2}, {unit_amount: 1}]}}
        free: [sale, seat]
"""
BOOK = HEAD + VERSION
PERCENTAGE = "price: {model: percentage, percent: 1, free_events: 3}"
CONTRACT = "  - {org_id: 1, id: one, plan: plan, currency: USD, from: 2026-01-01"


@pytest.fixture
def tally(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tally:
    """The command line, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: Answer(run(arguments), *capfd.readouterr())


def problems(book: str = BOOK, contracts: str | None = None, catalogue: Catalogue | None = CATALOGUE) -> list[str]:
    """Return what is found, as it is printed; what cannot be read at all too."""
    agreed = None if contracts is None else ("contracts.yaml", "contracts:\n" + contracts)
    try:
        return [str(one) for one in check(("book.yaml", book), agreed, catalogue)]
    except SettingsError as error:
        return str(error).splitlines()


def test_nothing_is_wrong_with_what_is_right() -> None:
    assert problems() == []
    assert problems(contracts=CONTRACT + "}\n") == []


def test_the_samples_are_right() -> None:
    assert problems((DATA / "prices.yaml").read_text(), catalogue=None) == []
    contracts = (DATA / "contracts.yaml").read_text().partition("contracts:\n")[2]
    assert problems((DATA / "prices.yaml").read_text(), contracts, None) == []


def version(since: str, until: str = "") -> str:
    """A version with bounds, of seven lines or one more."""
    bounds = f"from: {since}" + (f"\n        until: {until}" if until else "")
    return VERSION.replace("from: 2020-01-01", bounds)


@pytest.mark.parametrize(
    ("book", "told"),
    [
        (
            HEAD + version("2020-01-01", "2026-01-01") + version("2026-02-01"),
            "book.yaml:8: plan plan: no version holds from 2026-01-01 until 2026-02-01: usage has no price then",
        ),
        (
            HEAD + version("2020-01-01", "2026-03-01") + version("2026-02-01"),
            "book.yaml:7: plan plan: the version from 2020-01-01 holds until 2026-03-01, and the next begins",
        ),
        (
            HEAD + version("2020-01-01") + version("2026-02-01"),
            "book.yaml:7: plan plan: the version from 2020-01-01 has no until, and the next begins on 2026-02-01",
        ),
        (HEAD + version("2026-02-01") * 2, "book.yaml:7: plan plan: two versions begin on 2026-02-01"),
        (
            BOOK.replace("{up_to: 9, unit_amount: 2}, {unit_amount: 1}", "{unit_amount: 2}, {unit_amount: 1}"),
            "only the last tier has no up_to: the tiers below are never reached",
        ),
        (
            BOOK.replace("{up_to: 9, unit_amount: 2}", "{up_to: 9, unit_amount: 2}, {up_to: 9, unit_amount: 3}"),
            "volume.tiers.1.up_to: up_to 9 is not above the tier before, which reaches 9",
        ),
        (
            BOOK.replace("{unit_amount: 1}]", "{up_to: 99, unit_amount: 1}]"),
            "tiers.1.up_to: the last tier needs up_to: null, or usage above it has no price",
        ),
        (
            BOOK.replace("unit_amount: 2}", "unit_amount: 1}"),
            "book.yaml:11: warning: plan plan: charge spans: tier 2 costs what tier 1 does: the two are one",
        ),
        (
            BOOK.replace("unit_amount: 0.01", "unit_amount: 0"),
            "book.yaml:10: warning: plan plan: charge errors: units are included in a price of nothing",
        ),
        (
            BOOK.replace("0.01", "1e-2"),
            "book.yaml:10: 1e-2 is not a plain number: write it as in 1500 or 0.0011125 (or quote a text)",
        ),
        (BOOK.replace("0.01", ".nan"), "book.yaml:10: .nan is not a plain number"),
        (BOOK.replace("0.01", "1" * 40), "book.yaml:10: plans.plan.versions.0.charges.errors.price"),
        (BOOK.replace("0.01", "0." + "1" * 19), "no more than 18 decimal places"),
        (BOOK.replace("USD", "USX"), "book.yaml:5: plans.plan.currency: USX is not a currency of ISO 4217"),
        (
            BOOK.replace("category: span", "category: spam"),
            "book.yaml:11: plan plan: charge spans: spam is no category of the catalogue",
        ),
        (
            BOOK.replace("[sale, seat]", "[sale]"),
            "book.yaml:7: warning: plan plan: seat: neither priced nor free, so that any usage of it is a failure",
        ),
        (BOOK.replace("[sale, seat]", "[sale, seat, error]"), "category 'error' is priced twice"),
        (
            BOOK + "        budget: {amount: 5}\n",
            "a budget needs prices by which more usage never costs less (graduated, package, per_unit), unlike spans",
        ),
        (
            BOOK + "        budget: {amount: 5, charges: [error]}\n",
            "book.yaml:7: plans.plan.versions.0: the budget names error, which is no counted charge",
        ),
        (BOOK + "        adjustments: [{kind: minimum, amount: 5, charges: [x]}]\n", "an adjustment names x"),
        (
            BOOK.replace("included: 5, price: {model: per_unit, unit_amount: 0.01}", PERCENTAGE),
            "book.yaml:10: plan plan: charge errors has to see every event of error: say `keep` in its catalogue entry",
        ),
        (
            BOOK.replace("category: error,", "category: error, aggregate: unique_count,"),
            "charge errors has to see every event of error",
        ),
        (
            BOOK.replace("category: error,", "category: sale, aggregate: unique_count,").replace("[sale", "[error"),
            "charge errors counts by a value of sale: say `keep: {value: …}` of it",
        ),
        (
            BOOK.replace("category: error, included: 5,", "category: seat, ")
            .replace("{model: per_unit, unit_amount: 0.01}", "{model: dynamic}")
            .replace("sale, seat", "sale, error"),
            "charge errors prices the money that seat carries: say `keep: {amount: …}` of it",
        ),
        (BOOK.replace("revision: 1", "revision: &a 1"), "book.yaml:2: anchors and aliases are not taken"),
        (BOOK.replace("revision: 1", "revision: !!python/object 1"), "book.yaml:2: tags are not taken"),
        (BOOK.replace("currency: USD", "currency: USD\n    currency: EUR"), "book.yaml:6: 'currency' stands twice"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_book_is_told_with_its_line(book: str, told: str) -> None:
    found = problems(book)
    assert any(told in one for one in found), found


@pytest.mark.parametrize(
    ("contracts", "told"),
    [
        (
            CONTRACT + ", overrides: [{charge: x, multiply: 2}]}\n",
            "overrides charge x, which is no charge that this could",
        ),
        (CONTRACT + ", included: {fee: 2}}\n", "(override_matches_nothing)"),
        (
            CONTRACT + ", overrides: [{charge: spans, multiply: 2}, {charge: spans, multiply: 3}]}\n",
            "are equally specific",
        ),
        (CONTRACT + ", overrides: [{charge: errors, from: 2031-05-01, tiers: [{unit_amount: 1}]}]}\n", "2031-0"),
        (CONTRACT.replace("USD", "EUR") + "}\n", "(currency_mismatch)"),
        (CONTRACT.replace("plan: plan", "plan: other") + "}\n", "(unknown_plan)"),
        (CONTRACT.replace("2026-01-01", "2019-01-01") + "}\n", "(price_not_in_force)"),
        (CONTRACT + ", adjustments: [{kind: minimum, amount: 5, charges: [x]}]}\n", "has an adjustment of x"),
        (CONTRACT + ", budget: {amount: 5, charges: [spans]}}\n", "unlike spans (volume) (budget_does_not_fit)"),
        (
            CONTRACT + ", overrides: [{charge: spans, " + PERCENTAGE + "}]}\n",
            "charge spans has to see every event of span: say `keep` in its catalogue entry (needs_events)",
        ),
        (
            CONTRACT + ", until: 2026-05-01, overrides: [{charge: errors, from: 2026-05-01, multiply: 2}]}\n",
            "contract one from 2026-01-01 until 2026-05-01: number 1 of its overrides never holds in it",
        ),
        (
            CONTRACT + ", grants: [{id: old, amount: 5, from: 2025-01-01, until: 2026-01-01}]}\n",
            "warning: organisation 1, contract one from 2026-01-01: number 1 of its grants never holds in it",
        ),
        (CONTRACT + ", phases: [{cycles: 3}, {cycles: 3, plan: other}]}\n", "2026-04: "),
        (
            CONTRACT + ", until: 2026-05-01}\n" + CONTRACT.replace("2026-01-01", "2026-04-01") + "}\n",
            "contract one from 2026-04-01 begins while another holds: one holds until 2026-05-01",
        ),
        (
            CONTRACT + ", until: 2026-05-01}\n" + CONTRACT.replace("2026-01-01", "2026-08-01") + "}\n",
            "contracts.yaml:3: warning: organisation 1, contract one from 2026-08-01: no contract holds since",
        ),
    ],
)
def test_a_mistake_in_contracts_is_told_with_its_line(contracts: str, told: str) -> None:
    found = problems(contracts=contracts)
    assert any(told in one for one in found), found
    assert all(one.startswith(("contracts.yaml:2: ", "contracts.yaml:3: ")) for one in found), found


def test_a_problem_stands_in_the_line_of_what_is_wrong() -> None:
    written = dedent("""\
          - org_id: 1
            id: one
            plan: plan
            currency: EUR
            from: 2026-01-01
            overrides:
              - {charge: x, multiply: 2}
        """)
    assert [one.partition(": ")[0] for one in problems(contracts=written)] == ["contracts.yaml:5"]
    assert [one.partition(": ")[0] for one in problems(contracts=written.replace("EUR", "USD"))] == ["contracts.yaml:7"]


TIERS = BOOK.partition("tiers: [")[0] + "tiers: [" + "{up_to: 1, unit_amount: 1}, " * 100_000 + "{unit_amount: 1}]}}\n"


@pytest.mark.parametrize(
    ("book", "told"),
    [
        pytest.param(TIERS, "volume.tiers: Tuple should have at most 1000 items", id="100,000 tiers"),
        pytest.param("a: &a [*a]\n", "book.yaml:1: anchors and aliases are not taken", id="a recursive alias"),
        pytest.param("a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]\n", "anchors and aliases", id="an alias bomb"),
        pytest.param("[" * 100_000, "book.yaml:1: nested deeper than 24 levels", id="deep"),
        pytest.param("[" + "1," * (MAX_BYTES // 2 - 2) + "]", "more than 1,000,000 values", id="16 MiB of ones"),
        pytest.param("x" * (MAX_BYTES + 1), "book.yaml: larger than 16,777,216 bytes", id="more than 16 MiB"),
        pytest.param(BOOK.replace("0.01", "9" * 1_000_000), "a number of 1000000 characters", id="a million digits"),
    ],
)  # fmt: skip
def test_a_hostile_book_gets_an_error_and_not_a_hang(book: str, told: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    assert told in problems(book)[0]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 30, "seconds of the processor"


def test_what_a_new_book_changes_is_told_price_by_price() -> None:
    new = (
        BOOK.replace("0.01}", "0.02}")
        .replace("revision: 1", "revision: 2")
        .replace("          fee:", "          base:")
    )
    new = new.replace("{up_to: 9, unit_amount: 2}", "{up_to: 8, unit_amount: 2}")
    at = "plan.versions.from 2020-01-01.charges"
    assert differences(book_from("a", BOOK), book_from("b", new)) == [
        (f"{at}.fee.price.model", "flat", ""),
        (f"{at}.fee.price.amount", "10", ""),
        (f"{at}.errors.price.unit_amount", "0.01", "0.02"),
        (f"{at}.spans.price.tiers.1.up_to", "9", "8"),
        (f"{at}.base.price.model", "", "flat"),
        (f"{at}.base.price.amount", "", "10"),
    ]
    assert differences(book_from("a", BOOK), book_from("b", "# a remark\n" + BOOK)) == []


def test_check_prints_problems_and_its_status_says_whether_there_are_any(tally: Tally) -> None:
    right = tally("prices", "check", str(DATA / "prices.yaml"), "--contracts", str(DATA / "contracts.yaml"), "--strict")
    assert (right.status, right.out, right.err) == (0, "", "0 errors, 0 warnings\n")
    Path("book.yaml").write_text(BOOK, encoding="utf-8")
    Path("contracts.yaml").write_text("contracts:\n" + CONTRACT.replace("USD", "EUR") + "}\n", encoding="utf-8")
    wrong = tally("prices", "check", "book.yaml", "--contracts", "contracts.yaml")
    assert wrong.status == 1
    assert "book.yaml:8: plan plan: charge spans" not in wrong.out
    assert "contracts.yaml:2: organisation 1, 2026-01: " in wrong.out
    found = json.loads(tally("prices", "check", "book.yaml", "--contracts", "contracts.yaml", "--json").out)
    assert found["errors"] == sum(one["level"] == "error" for one in found["problems"]) > 0
    assert {"file", "line", "level", "reason"} == set(found["problems"][0])
    Path("bad.yaml").write_text(BOOK.replace("0.01", "1e5"), encoding="utf-8")
    bad = tally("prices", "check", "bad.yaml")
    assert (bad.status, "bad.yaml:10: 1e5 is not a plain number" in bad.err) == (2, True)
    assert "cannot be read" in tally("prices", "check", "none.yaml").err


def test_diff_prints_changes_and_asks_for_a_new_revision(tally: Tally) -> None:
    Path("old.yaml").write_text(BOOK, encoding="utf-8")
    Path("new.yaml").write_text(BOOK.replace("0.01}", "0.02}"), encoding="utf-8")
    assert tally("prices", "diff", "old.yaml", "old.yaml").status == 0
    kept = tally("prices", "diff", "old.yaml", "new.yaml")
    assert (kept.status, "revision 1 has other prices than revision 1 of old.yaml: raise `revision`" in kept.err) == (
        2,
        True,
    )
    Path("new.yaml").write_text(BOOK.replace("0.01}", "0.02}").replace("revision: 1", "revision: 2"), encoding="utf-8")
    raised = tally("prices", "diff", "old.yaml", "new.yaml", "--json")
    assert raised.status == 0
    assert json.loads(raised.out)["rows"] == [
        {"place": "plan.versions.from 2020-01-01.charges.errors.price.unit_amount", "before": "0.01", "after": "0.02"}
    ]


def test_the_schemas_are_whole_and_name_every_field(tally: Tally) -> None:
    for arguments, shape in (((), BookFile), (("--contracts",), ContractsFile)):
        answer = tally("prices", "schema", *arguments)
        schema = json.loads(answer.out, parse_float=lambda text: pytest.fail(f"a float: {text}"))
        assert answer.status == 0
        names = {field.alias or name for name, field in shape.model_fields.items()}
        assert set(schema["properties"]) == names
        text = json.dumps(schema)
        lost = [one for one in _references(schema) if one.removeprefix("#/$defs/") not in schema["$defs"]]
        assert not lost, "every reference leads somewhere"
        assert '"additionalProperties": false' in text


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [one for item in value.values() for one in _references(item)]
    return [one for item in value for one in _references(item)] if isinstance(value, list) else []


def test_a_problem_says_where_it_is() -> None:
    assert str(Problem("a.yaml", 3, "error", "x")) == "a.yaml:3: x"
    assert str(Problem("a.yaml", 3, "warning", "x")) == "a.yaml:3: warning: x"
    assert load_book(DATA / "prices.yaml").origin == "prices.yaml"


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ([], []),
        (["minimum", "already_invoiced", "account_credit"], []),
        (["already_invoiced", "minimum"], ["already_invoiced is listed before minimum"]),
    ],
)
def test_what_was_invoiced_comes_off_after_what_lines_come_to(listed: list[str], told: list[str]) -> None:
    agreed = {"org_id": 1, "id": "c", "plan": "plan", "currency": "USD", "from": "2020-01-01"}
    text = json.dumps({"contracts": [{**agreed, "invoice_thresholds": {"amounts": [100]}}]})
    kinds = [{"kind": kind, **({"amount": 5} if kind == "minimum" else {})} for kind in listed]
    charges = {"fee": {"price": {"model": "flat", "amount": 1}}}
    version = {"from": "2020-01-01", "charges": charges, "adjustments": kinds}
    book = json.dumps({"book": "b", "revision": 1, "plans": {"plan": {"currency": "USD", "versions": [version]}}})
    found = check(("book.yaml", book), ("contracts.yaml", text))
    assert [(one.level, one.file) for one in found] == [("error", "contracts.yaml")] * len(told)
    assert all(part in one.reason for part, one in zip(told, found, strict=True))
