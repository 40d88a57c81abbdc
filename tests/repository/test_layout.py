"""Data moves one way, files stay small and explained, and the repository speaks of itself only."""

import ast
import fnmatch
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.repository.code import CODE, PACKAGES, ROOT, called, imports, modules, named, texts, tree

MAY_IMPORT = {
    "schemas": {"schemas"},
    "dataflows": {"dataflows", "schemas"},
    "sinks": {"sinks", "schemas"},
    "rater": {"rater", "schemas"},
    "tally": set(PACKAGES),
    "benchmarks": {*PACKAGES, "benchmarks", "tests"},
    "deploy": {"deploy"},
    "tests": set(CODE),
}
ENGINES = {"bytewax", "confluent_kafka", "clickhouse_connect", "chdb"}
PURE = {
    "schemas/": "the nouns",
    "rater/": "a statement is a function of contract, period and usage",
    "dataflows/meter": "the meter is a function of a log's prefix and the settings",
    "dataflows/decode": "what an event is does not depend on when it is read",
    "dataflows/dedupe": "part of the meter",
    "dataflows/marks": "part of the meter",
    "dataflows/open_rows": "part of the meter",
    "dataflows/resume": "part of the meter",
}
CLOCKS = {
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
}
TALLEST = 400


@pytest.mark.parametrize("package", CODE)
def test_imports_go_one_way(package: str) -> None:
    wrong = [
        f"{named(path)}:{line}: {package} may not import {module}"
        for path in modules(package)
        for line, module in imports(path)
        if (top := module.partition(".")[0]) in CODE and top not in MAY_IMPORT[package]
    ]
    assert not wrong, "\n".join(wrong)


def _pure() -> list[Path]:
    return [path for path in modules(*PACKAGES) if named(path).startswith(tuple(PURE))]


def test_pure_code_knows_no_engine() -> None:
    wrong = [
        f"{named(path)}:{line}: imports {module}"
        for path in _pure()
        for line, module in imports(path)
        if module.partition(".")[0] in ENGINES
    ]
    assert not wrong, "\n".join(wrong)


def test_pure_code_reads_no_clock_and_rolls_no_dice() -> None:
    wrong = [
        f"{named(path)}:{node.lineno}: {called(node)}()"
        for path in _pure()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and (called(node).endswith(tuple(CLOCKS)) or called(node).startswith(("random.", "secrets.", "uuid.")))
    ]
    assert not wrong, "\n".join(wrong)


def test_no_file_is_too_tall() -> None:
    tall = {named(path): n for path in modules(*CODE) if (n := len(path.read_text().splitlines())) > TALLEST}
    assert not tall, f"over {TALLEST} lines; split them: {tall}"


def test_every_module_says_what_it_is() -> None:
    silent = [named(path) for path in modules(*CODE) if path.read_text().strip() and not ast.get_docstring(tree(path))]
    assert not silent


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in modules(*CODE)}
    assert not [named(folder) for folder in folders if not (folder / "__init__.py").exists()]


# Written in parts, so that this file is not among those that it finds.
HOSTS = [
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("npmjs", "com"),
    ("npmjs", "org"),
    ("maven", "org"),
    ("crates", "io"),
]
FOREIGN = re.compile(
    "|".join(
        [
            *(rf"\b{name}\.{end}\b" for name, end in HOSTS),
            r"(?<![\w.])/" + r"(work|root|home/\w+)/",
            r"\b(DESIGN|STYLE|FACTS|PRICING|SENTRY|COMMON)" + r"\.md\b",
            r"\bTO" + r"DO\b|\bFIX" + r"ME\b|\bX" + r"XX\b",
        ]
    )
)

ASK_THE_SAME = {"tests/examples/test_examples.py"}
"""Files that look for such places themselves, and so name them."""


def test_the_repository_speaks_of_itself_only() -> None:
    """No registry's host, no path of a machine, no page that is not here, no promise to do it later."""
    found = [
        f"{named(path)}:{number}: {match[0]}"
        for path in texts()
        if named(path) not in ASK_THE_SAME
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in FOREIGN.finditer(line)
    ]
    assert not found, "\n".join(found)


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_data_file_is_shipped() -> None:
    shipped: dict[str, list[str]] = project()["tool"]["setuptools"]["package-data"]
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()]
    left_out = []
    for path in files:
        if path.suffix in {".py", ".pyc", ".nbi", ".nbc"} or "__pycache__" in path.parts:
            continue
        package, inside = named(path).split("/", 1)
        patterns = [*shipped.get(package, []), *shipped["*"]]
        # A star does not cross a folder, as setuptools reads it.
        same_depth = [pattern for pattern in patterns if pattern.count("/") == inside.count("/")]
        if not any(fnmatch.fnmatch(inside, pattern) for pattern in same_depth):
            left_out.append(named(path))
    assert not left_out, f"add them to package-data in pyproject.toml: {left_out}"


def _requirements() -> dict[str, str]:
    about = project()["project"]
    every = chain(about["dependencies"], *about["optional-dependencies"].values())
    found = dict(requirement.split("==") for requirement in every)
    return {re.sub(r"[-_.]+", "-", name).lower(): pinned for name, pinned in found.items()}


TOOLS = {"kubernetes-validate", "mypy", "ruff", "pytest-timeout", "pytest-xdist", "types-pyyaml", "tzdata"}
BROUGHT_ALONG = {"pydantic-core"}
"""Imported, and pinned exactly by another package that is required."""


def test_dependencies_are_pinned_and_installed_so() -> None:
    assert {name: version(name) for name in _requirements()} == _requirements()


def test_what_is_imported_is_required_and_what_is_required_is_imported() -> None:
    required = _requirements().keys()
    distributions = packages_distributions()
    undeclared, used = set[str](), set[str]()
    for path in modules(*CODE):
        quoted = re.findall(r'import_module\("([\w.]+)"\)', path.read_text(encoding="utf-8"))
        for module in [*(module for _, module in imports(path)), *quoted]:
            top = module.partition(".")[0]
            if top in sys.stdlib_module_names or top in CODE:
                continue
            # Several distributions may ship one module (chdb and its engine), or share a namespace (backports).
            shipping = {re.sub(r"[-_.]+", "-", name).lower() for name in distributions[top]}
            used |= shipping
            if not shipping & {*required, *BROUGHT_ALONG}:
                undeclared.add(f"{named(path)}: {module}")
    assert not undeclared, "imported, but not in pyproject.toml"
    assert required - used - TOOLS == set(), "listed, but never imported"
