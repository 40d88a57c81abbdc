"""What a pass rates by is what the settings name."""

from pathlib import Path

import tally as package
from tally.rating_pass import load_prices
from tally.settings import load_settings

DATA = Path(package.__file__).with_name("data")


def test_whose_turn_it_is_in_a_shared_budget_goes_by_the_categorys_id_and_not_its_line(tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text("categories: [{id: 5, name: b}, {id: 2, name: a}]\n", encoding="utf-8")
    settings = load_settings(
        catalogue=str(catalogue), book=str(DATA / "prices.yaml"), contracts=str(DATA / "contracts.yaml")
    )
    assert load_prices(settings).rank == {"b": 5, "a": 2}
