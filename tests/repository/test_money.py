"""No float comes near money or a quantity: neither written, nor made by a division, nor by a column's type."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repository.code import ROOT, called, modules, named, tree

MONEY = [
    *(ROOT / "schemas" / f"{name}.py" for name in ("money", "prices", "contracts", "statements", "period")),
    *modules("rater"),
]
COUNTING = [
    path for path in modules("dataflows") if path.name.startswith(("meter", "open_rows", "dedupe", "decode", "scan"))
]

DIVISIONS = {
    (
        "schemas/prices.py",
        "(self.multiply or ONE) / divisor",
    ): "decimals, in a context whose traps raise where a digit would be lost",
    (
        "rater/models/graduated.py",
        "inside * use.counted / abs(use.full)",
    ): "the same: counted ÷ full is days ÷ days, and what is inside was scaled by the days of the period",
}
"""True divisions that are exact, and why."""

MAKES_FLOATS = {"float", "round", "math.sqrt", "math.pow", "math.log", "math.fsum"}
"""`round` of a decimal goes half to even, which no bill does."""

ARRAYS = {"np.zeros", "np.ones", "np.empty"}
"""They make floats unless they are told a type."""


def _typed(node: ast.Call) -> bool:
    return len(node.args) > 1 or any(keyword.arg == "dtype" for keyword in node.keywords)


def floats(path: Path) -> Iterator[str]:
    """Where a file writes, makes or names a float. `isinstance(value, float)`, asked to refuse it, is no use of one."""
    asked = {
        id(name)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and called(node) == "isinstance"
        for name in ast.walk(node.args[1])
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield f"{named(path)}:{node.lineno}: the literal {node.value}"
        elif isinstance(node, ast.Call) and called(node) in MAKES_FLOATS:
            yield f"{named(path)}:{node.lineno}: {called(node)}()"
        elif isinstance(node, ast.Call) and called(node) in ARRAYS and not _typed(node):
            yield f"{named(path)}:{node.lineno}: {called(node)}() without a dtype"
        elif isinstance(node, ast.Name) and node.id == "float" and id(node) not in asked:
            yield f"{named(path)}:{node.lineno}: the type float"
        elif isinstance(node, ast.Attribute) and node.attr.startswith(("float", "double", "half")):
            yield f"{named(path)}:{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            written = ast.unparse(node)
            if (named(path), written) not in DIVISIONS:
                yield f"{named(path)}:{node.lineno}: the division {written}"


@pytest.mark.parametrize("path", MONEY, ids=named)
def test_no_float_near_money(path: Path) -> None:
    assert not list(floats(path))


@pytest.mark.parametrize("path", COUNTING, ids=named)
def test_no_float_where_events_are_counted(path: Path) -> None:
    assert not list(floats(path))


def test_every_division_that_is_excused_still_stands() -> None:
    standing = {
        (named(path), ast.unparse(node))
        for path in MONEY
        for node in ast.walk(tree(path))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
    }
    assert set(DIVISIONS) <= standing


def test_the_search_finds_each_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.repository.code.ROOT", tmp_path)
    wrong = [
        "x = 0.5",
        "x = float(y)",
        "x: float = y",
        "x = a / b",
        "x /= b",
        "x = np.float64(y)",
        "x = round(y)",
        "x = np.zeros(3)",
    ]
    fine = [
        "x = isinstance(y, float)",
        "x = a // b",
        "x = 5",
        "x = isinstance(y, (bool, float))",
        "x = np.zeros(3, np.int64)",
    ]
    for number, line in enumerate([*wrong, *fine]):
        file = tmp_path / f"{number}.py"
        file.write_text(line)
        assert bool(list(floats(file))) == (line in wrong), line
