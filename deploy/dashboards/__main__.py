"""Write the dashboards: `python -m deploy.dashboards`."""

import json
from pathlib import Path
from typing import Final

from deploy.dashboards.flow import FLOW
from deploy.dashboards.money import MONEY
from deploy.dashboards.panels import Dashboard

FOLDER: Final = Path(__file__).parent
DASHBOARDS: Final = {FOLDER / "flow.json": FLOW, FOLDER / "money.json": MONEY}


def text(dashboard: Dashboard) -> str:
    """Return a dashboard's file."""
    return json.dumps(dashboard.json(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path, dashboard in DASHBOARDS.items():
        path.write_text(text(dashboard), encoding="utf-8")
