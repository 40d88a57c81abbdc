"""Kinds of a thing, one a file: what is put into a package's folder is found by itself, by the name it is asked for."""

import importlib
import pkgutil
from collections.abc import Iterable
from typing import TypeVar, get_args

from pydantic import BaseModel

Kind = TypeVar("Kind", bound=BaseModel)


def name_in(kind: type[BaseModel], word: str) -> str:
    """Return the name by which a price book asks for a kind: the one value that its field `word` takes."""
    (name,) = get_args(kind.model_fields[word].annotation)
    return str(name)


def kinds_in(package: str, path: Iterable[str], base: type[Kind], word: str) -> dict[str, type[Kind]]:
    """Return the subclasses of `base` in a package's files, by name. Two of one name are a mistake in the program."""
    kinds: dict[str, type[Kind]] = {}
    for module in pkgutil.iter_modules(path, f"{package}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.name:
                name = name_in(value, word)
                assert name not in kinds, f"two in {package} are called {name}"
                kinds[name] = value
    return kinds
