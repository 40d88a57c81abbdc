"""A release that meters wrongly under the settings' own fingerprint: it forgets an event's id after a second."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dataflows.meter import Meter
from dataflows.reading import Control
from schemas.metering import MeterSettings
from schemas.progress import Progress
from tally.running import Watch, run_here
from tally.settings import Settings


def run_wrongly(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as that release does: repeats are counted, and nothing else tells that it is another one."""
    made: Callable[..., None] = Meter.__init__

    def forgetful(self: Meter, rules: MeterSettings, progress: Progress, **more: Any) -> None:
        made(self, replace(rules, bucket=1_000_000, horizon_buckets=1), progress, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Meter, "__init__", forgetful)
        run_here(settings, Control(), Watch())
