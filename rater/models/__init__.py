"""The price models, one a file. A file put into this folder is found by itself; nothing else has to be touched.

A model is a subclass of `schemas.prices.PriceModel` with a field `model: Literal["its_name"]`, the fields that a price
book gives it, and `steps(quantity)` (with `price(measure)`, where it `needs` more). Its golden table is
`tests/rater/golden/its_name.yaml`.
"""

import importlib
import pkgutil
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Final, get_args

from pydantic import Field

from schemas.prices import PriceModel


def name_of(model: type[PriceModel]) -> str:
    """Return the name by which a price book asks for a model."""
    (name,) = get_args(model.model_fields["model"].annotation)
    return str(name)


def _found() -> dict[str, type[PriceModel]]:
    models: dict[str, type[PriceModel]] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, PriceModel) and value.__module__ == module.name:
                assert name_of(value) not in models, f"two price models are called {name_of(value)}"
                models[name_of(value)] = value
    return models


MODELS: Final[dict[str, type[PriceModel]]] = _found()
"""Every price model by its name."""

if TYPE_CHECKING:
    AnyPrice = PriceModel
else:
    AnyPrice = Annotated[reduce(or_, MODELS.values()), Field(discriminator="model")]
