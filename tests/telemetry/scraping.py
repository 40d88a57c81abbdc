"""Asks a running process' own endpoint, and reads the text that Prometheus would."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


def get(port: int, path: str) -> tuple[int, str]:
    """Return the status and the body of an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def probe(port: int, path: str) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON of a probe's answer; status 0 where nobody listens yet."""
    try:
        status, body = get(port, path)
    except urllib.error.URLError:
        return 0, {}
    found: dict[str, Any] = json.loads(body)
    return status, found


class Scrape:
    """One scrape: samples by name and labels."""

    def __init__(self, text: str) -> None:
        families = list(text_string_to_metric_families(text))
        self.kinds = {family.name: family.type for family in families}
        self.samples: dict[str, dict[Labels, float]] = {}
        for family in families:
            for sample in family.samples:
                self.samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value

    def value(self, name: str, labels: Mapping[str, str] | None = None) -> float:
        return self.samples[name][frozenset((labels or {}).items())]

    def total(self, name: str) -> float:
        return sum(self.samples.get(name, {}).values())


def scrape(port: int) -> Scrape:
    status, body = get(port, "/metrics")
    assert status == 200
    return Scrape(body)
