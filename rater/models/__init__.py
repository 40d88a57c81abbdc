"""The price models, one a file. A file put into this folder is found by itself; nothing else has to be touched.

A model is a subclass of `schemas.prices.PriceModel` with a field `model: Literal["its_name"]`, the fields that a price
book gives it, and `steps(quantity)` (with `price(measure)`, where it `needs` more). Its golden table is
`tests/rater/golden/its_name.yaml`.
"""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from rater.registry import kinds_in
from schemas.prices import PriceModel

MODELS: Final[dict[str, type[PriceModel]]] = kinds_in(__name__, __path__, PriceModel, "model")  # type: ignore[type-abstract]  # a subclass is made
"""Every price model by its name."""

if TYPE_CHECKING:
    AnyPrice = PriceModel
else:
    AnyPrice = Annotated[reduce(or_, MODELS.values()), Field(discriminator="model")]
