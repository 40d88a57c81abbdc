"""Price files that are written while a rater reads them: half a file is never rated by."""

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import SettingsError
from tally import price_files
from tally.price_files import TRIES, PriceFiles
from tally.rated import Prices
from tally.rating_pass import SAMPLES, load_prices
from tally.settings import Settings, load_settings

WHOLE = (SAMPLES / "contracts.yaml").read_text(encoding="utf-8")
HALF = WHOLE[: WHOLE.index("  # Nothing of the logs")]
"""What is there of it in the moment of reading: contracts like any others, but for an organisation that has its own."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "contracts.yaml").write_text(HALF, encoding="utf-8")
    return load_settings(book=SAMPLES / "prices.yaml", contracts=tmp_path / "contracts.yaml")


def written_meanwhile(monkeypatch: pytest.MonkeyPatch, write: Callable[[int], None]) -> None:
    """Let `write` go on, with the number of the reading, between a reading of the files and the look after it."""
    readings = 0

    def load(settings: Settings) -> Prices:
        nonlocal readings
        readings += 1
        prices = load_prices(settings)
        write(readings)
        return prices

    monkeypatch.setattr(price_files, "load_prices", load)


def test_a_file_that_is_whole_after_it_was_read_is_read_again(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_meanwhile(monkeypatch, lambda _: _write(tmp_path, WHOLE))
    files = PriceFiles(settings)
    prices = files.read()
    assert 42 in prices.contracts.by_org
    assert files.read() is prices


def test_files_that_never_stay_as_they_are_give_no_prices(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_meanwhile(monkeypatch, lambda number: _write(tmp_path, f"{HALF}# {number}\n" if number <= TRIES else WHOLE))
    files = PriceFiles(settings)
    with pytest.raises(SettingsError, match="changes while it is read: write another file, and rename it"):
        files.read()
    assert 42 in files.read().contracts.by_org


def _write(folder: Path, text: str) -> None:
    (folder / "contracts.yaml").write_text(text, encoding="utf-8")
