"""The repository's own files, read for the tests of this folder."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "dataflows", "sinks", "rater", "tally")
CODE = (*PACKAGES, "benchmarks", "deploy", "tests")
_TEXT = {".py", ".md", ".sql", ".yaml", ".yml", ".toml", ".sh", ".xml", ".json", ""}
_SKIPPED = {"__pycache__", ".git", ".venv", ".cache", ".hypothesis", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def modules(*folders: str) -> list[Path]:
    return sorted(
        path for folder in folders for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts
    )


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def texts() -> Iterator[Path]:
    """Every text file that is part of the repository."""
    top = [ROOT / name for name in (*CODE, "docs", ".ci")]
    files = [path for folder in top if folder.is_dir() for path in folder.rglob("*")]
    files += [path for path in ROOT.iterdir() if path.name not in _SKIPPED]
    for path in sorted(files):
        if path.is_file() and path.suffix in _TEXT and not _SKIPPED & set(path.parts):
            yield path


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, anywhere in it, with its line."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{named(path)}:{node.lineno}: imports are written in full"
            assert node.module
            yield node.lineno, node.module


def called(node: ast.Call) -> str:
    """The name that a call is written with, as in `time.time_ns`; the last part alone where it is no plain name."""
    return ast.unparse(node.func)
