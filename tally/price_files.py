"""Price book, contracts and catalogue, in files that may be replaced while a rater stays: read anew when changed."""

import hashlib
from pathlib import Path
from typing import Final

from schemas.errors import SettingsError
from tally.rated import Prices
from tally.rating_pass import load_prices
from tally.settings import Settings

MISSING: Final = b"\0"
TRIES: Final = 5
"""Readings of files that change meanwhile: something writes them without end, or again and again."""


class PriceFiles:
    """Gives what the files say now. What they said before is never given in its place."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._digest = b""
        self._prices: Prices | None = None

    def read(self) -> Prices:
        """Return the prices; the same object for as long as no file's content has changed.

        Raises SettingsError, with a line for everything that is wrong, each time until the files are mended: a
        statement by prices that are no longer agreed is worse than a statement that is late.
        """
        for _ in range(TRIES):
            digest = self._content()
            if self._prices is None or digest != self._digest:
                self._prices = None
                prices = load_prices(self._settings)
                # Half a contracts file may be one as well, and would bill otherwise whoever is in the other half.
                if self._content() != digest:
                    continue
                self._prices, self._digest = prices, digest
            return self._prices
        raise SettingsError(
            f"{self._settings.book}, {self._settings.contracts}: one of them changes while it is read: write another "
            "file, and rename it to this name once it is whole"
        )

    def _content(self) -> bytes:
        found = hashlib.sha256()
        for path in (self._settings.book, self._settings.contracts, self._settings.catalogue):
            content = MISSING if path is None else _bytes(path)
            found.update(len(content).to_bytes(8) + content)
        return found.digest()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return MISSING  # whoever loads it says why
