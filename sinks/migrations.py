"""Numbered SQL files, applied in order, each recorded with its checksum.

Every statement is a CREATE … IF NOT EXISTS, or a CREATE OR REPLACE VIEW, so that applying a file again does nothing: a
crash in the middle, or two processes at once, need no lock and leave nothing half done.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from schemas.errors import StoreMismatch

_NAME: Final = re.compile(r"\d{4}_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file. `checksum` is the sha256 of its text; `statements` are without their semicolons."""

    name: str
    checksum: str
    statements: tuple[str, ...]


def parse(name: str, text: str) -> Migration:
    """Read a migration's text: a statement ends with a semicolon at the end of a line that is no comment."""
    text = text.replace("\r\n", "\n")
    statements, lines = [], list[str]()
    for line in text.splitlines():
        ends = line.rstrip().endswith(";") and not line.lstrip().startswith("--")
        lines.append(line.rstrip()[:-1] if ends else line)
        if ends:
            statements.append("\n".join(lines).strip())
            lines = []
    if any(line.strip() for line in lines):
        raise ValueError(f"{name}: the last statement has no semicolon")
    return Migration(name, hashlib.sha256(text.encode()).hexdigest(), tuple(statements))


@cache
def known() -> tuple[Migration, ...]:
    """Return the migrations of this version, in order."""
    folder = files("schemas") / "sql"
    found = [
        (entry.name, entry.read_text(encoding="utf-8")) for entry in folder.iterdir() if _NAME.fullmatch(entry.name)
    ]
    return tuple(parse(name, text) for name, text in sorted(found))


def pending(applied: Mapping[str, str], migrations: Sequence[Migration], store: str) -> list[Migration]:
    """Return what is still to apply, given what the store says was applied (name to checksum).

    Raises StoreMismatch for a migration that this version does not know and for one that has changed since.
    """
    by_name = {migration.name: migration for migration in migrations}
    unknown = sorted(set(applied) - set(by_name))
    if unknown:
        raise StoreMismatch(
            f"store {store} was written by a newer version of Tally (it has {unknown[-1]}, this version ends with "
            f"{migrations[-1].name}); nothing was touched: upgrade Tally, or use another store"
        )
    for name, checksum in sorted(applied.items()):
        if by_name[name].checksum != checksum:
            raise StoreMismatch(
                f"store {store}: migration {name} was applied with another content than this version has; nothing was "
                "touched: use the version that made the store, or another store"
            )
    return [migration for migration in migrations if migration.name not in applied]


def apply(
    execute: Callable[[str], None], record: Callable[[Migration], None], migrations: Sequence[Migration]
) -> list[str]:
    """Apply migrations in order, each recorded after its last statement; return their names."""
    for migration in migrations:
        for statement in migration.statements:
            execute(statement)
        record(migration)
    return [migration.name for migration in migrations]
