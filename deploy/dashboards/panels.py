"""Panels and dashboards as Grafana stores them, in plain dicts: no library, and nothing that a reader must look up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

PROMETHEUS: Final = {"type": "prometheus", "uid": "tally-prometheus"}
CLICKHOUSE: Final = {"type": "grafana-clickhouse-datasource", "uid": "tally-clickhouse"}
"""The data sources by the uids under which deploy/compose/grafana-datasources.yaml provides them."""

WIDTH: Final = 24
"""Columns of a dashboard's grid."""
SCHEMA_VERSION: Final = 39

Kind = Literal["timeseries", "stat", "table", "bargauge"]


@dataclass(frozen=True)
class Panel:
    """One panel. `asks` are its queries with their legends: PromQL, or SQL where `sql` is set.

    `unit` is Grafana's name of one ("s", "short", "percentunit", "bytes"). `limits` colour a value that reaches them:
    the first one yellow, the second one red. Sizes are in columns and rows of the grid.
    """

    title: str
    meaning: str
    asks: tuple[tuple[str, str], ...]
    kind: Kind = "timeseries"
    unit: str = "short"
    sql: bool = False
    limits: tuple[float, ...] = ()
    width: int = 8
    height: int = 8
    least: float | None = 0

    def json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """Return the panel at its place in the grid."""
        source = CLICKHOUSE if self.sql else PROMETHEUS
        defaults: dict[str, Any] = {"unit": self.unit, "thresholds": _thresholds(self.limits)}
        if self.least is not None and self.kind == "timeseries":
            defaults["min"] = self.least
        if self.limits and self.kind == "timeseries":
            defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.meaning,
            "datasource": source,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": _OPTIONS[self.kind],
            "targets": [self._target(chr(ord("A") + i), *ask) for i, ask in enumerate(self.asks)],
        }

    def _target(self, name: str, ask: str, legend: str) -> dict[str, Any]:
        if not self.sql:
            instant = self.kind != "timeseries"
            return {
                "refId": name,
                "datasource": PROMETHEUS,
                "expr": ask,
                "legendFormat": legend,
                "instant": instant,
                "range": not instant,
            }
        series = self.kind == "timeseries"
        # 0 and 1: the plug-in's numbers for a time series and a table.
        return {
            "refId": name,
            "datasource": CLICKHOUSE,
            "editorType": "sql",
            "rawSql": ask,
            "queryType": "timeseries" if series else "table",
            "format": 0 if series else 1,
        }


@dataclass(frozen=True)
class Row:
    """A heading with the panels below it, laid out from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Choice:
    """A variable that a reader chooses from, with the PromQL or SQL that lists what there is."""

    name: str
    label: str
    ask: str
    sql: bool = False
    several: bool = True

    def json(self) -> dict[str, Any]:
        """Return the variable."""
        return {
            "name": self.name,
            "label": self.label,
            "type": "query",
            "datasource": CLICKHOUSE if self.sql else PROMETHEUS,
            "query": self.ask if self.sql else {"query": self.ask, "refId": "variable"},
            "refresh": 2,
            "sort": 1,
            "multi": self.several,
            "includeAll": self.several,
            **({"allValue": ".*"} if self.several and not self.sql else {}),
        }


@dataclass(frozen=True)
class Dashboard:
    """A whole dashboard; `uid` is the last part of its address in Grafana."""

    uid: str
    title: str
    meaning: str
    rows: tuple[Row, ...]
    choices: tuple[Choice, ...] = ()
    since: str = "now-6h"
    refresh: str = "30s"
    tags: tuple[str, ...] = field(default=("tally",))

    def panels(self) -> Iterable[Panel]:
        """Give every panel in reading order."""
        return (panel for row in self.rows for panel in row.panels)

    def json(self) -> dict[str, Any]:
        """Return the dashboard as Grafana's provisioning reads it."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.meaning,
            "tags": list(self.tags),
            "timezone": "utc",
            "editable": False,
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "refresh": self.refresh,
            "time": {"from": self.since, "to": "now"},
            "templating": {"list": [choice.json() for choice in self.choices]},
            "annotations": {"list": []},
            "panels": list(_laid_out(self.rows)),
        }


def _laid_out(rows: Sequence[Row]) -> Iterable[dict[str, Any]]:
    number, y = 1, 0
    for row in rows:
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
        }
        number, y = number + 1, y + 1
        x = tallest = 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            yield panel.json(number, x, y)
            number, x, tallest = number + 1, x + panel.width, max(tallest, panel.height)
        y += tallest


def _thresholds(limits: tuple[float, ...]) -> dict[str, Any]:
    colours = ("yellow", "red")[-len(limits) :] if limits else ()
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    steps += [{"color": colour, "value": limit} for colour, limit in zip(colours, limits, strict=True)]
    return {"mode": "absolute", "steps": steps}


_OPTIONS: Final[dict[Kind, dict[str, Any]]] = {
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background",
        "graphMode": "none",
    },
    "bargauge": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "displayMode": "basic",
        "orientation": "horizontal",
    },
    "table": {"showHeader": True, "footer": {"show": False}},
}
