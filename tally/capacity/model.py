"""The capacity model: from a load to partitions, workers, memory, recovery time, brokers, shards and cost.

Plain arithmetic on measured figures, one line a result, each with the sum that made it, so that a reader can check it
by hand or disagree with an input. The ids of the dedupe horizon come first: they are most of a worker's memory.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Final

from tally.capacity.inputs import Values

DAY: Final = 86_400
LATE_BUCKETS: Final = 10
"""Buckets of a late segment: its rows may change until it is past, so a replay starts at its first offset."""


@dataclass(frozen=True, slots=True)
class Result:
    """One result: its group, its name, the number in its unit, and the sum that made it."""

    part: str
    name: str
    value: int | Decimal
    unit: str
    sum: str


def estimate(values: Values) -> list[Result]:
    """Return what a load needs. `values` has every input, by name (see `inputs.INPUTS`)."""
    return _Model(values).run()


class _Model:
    """One estimate under way: the inputs, and the results so far in the order in which they are shown."""

    def __init__(self, values: Values) -> None:
        self.v = values
        self.results: list[Result] = []
        self.peak = values["events_per_day"] / DAY * values["peak"]
        # A row is one organisation and category in one window, so there are never more of them than events.
        self.rows_a_window = min(self.peak * values["window"], values["organisations"] * values["categories"])
        self.workers = ceil(self.peak / (values["events_per_core"] * values["utilisation"]))
        self.partitions = ceil(self.workers * values["partitions_per_core"])
        self.held = values["dedupe_horizon"] + values["dedupe_bucket"]

    def run(self) -> list[Result]:
        """Work out every part."""
        self.add("load", "events a second at the peak", self.peak, "events/s", "events_per_day ÷ 86,400 × peak")
        self._memory()
        self._recovery()
        log_bytes, brokers = self._kafka()
        kept, shards = self._clickhouse()
        self._cost(brokers, shards, log_bytes + kept)
        return self.results

    def add(self, part: str, name: str, value: Fraction | int, unit: str, how: str) -> Fraction:
        """Note a result and return its exact value. From 100 on it is shown as a whole number; both round up."""
        exact = Fraction(value)
        whole = exact >= 100 or exact.denominator == 1
        shown = ceil(exact) if whole else Decimal(ceil(exact * 100)) / 100
        self.results.append(Result(part, name, shown, unit, how))
        return exact

    def _memory(self) -> None:
        v, add = self.v, self.add
        ids = self.peak * self.held
        add("memory", "ids in the dedupe horizon", ids, "ids", "peak rate × (dedupe_horizon + dedupe_bucket)")
        id_bytes = add("memory", "their memory, in all workers", ids * v["bytes_per_id"], "B", "ids × bytes_per_id")
        rows = self.rows_a_window * (2 + v["allowed_lateness"] / v["window"])
        how = "min(events, organisations × categories) a window × (2 + allowed_lateness ÷ window)"
        add("memory", "open usage rows", rows, "rows", how)
        row_bytes = add("memory", "their memory, in all workers", rows * v["bytes_per_open_row"], "B", "rows × bytes")
        how = "peak rate ÷ (events_per_core × utilisation)"
        add("workers", "workers (one process and one core each)", self.workers, "", how)
        add("workers", "partitions", self.partitions, "", "workers × partitions_per_core")
        how = "(ids + open rows) ÷ workers + process_bytes"
        one = (id_bytes + row_bytes) / self.workers + v["process_bytes"]
        add("workers", "memory of one worker", one, "B", how)
        # Twice, since partitions are not equal: see `skew`.
        add("workers", "dedupe_max_bytes, a log", id_bytes / self.partitions * 2, "B", "ids ÷ partitions × 2")

    def _recovery(self) -> None:
        v, add = self.v, self.add
        load = self.peak / (self.workers * v["events_per_core"])
        add("recovery", "load at the peak", load, "of capacity", "peak rate ÷ (workers × events_per_core)")
        replay = self.held + max(v["window"] + v["allowed_lateness"], LATE_BUCKETS * v["dedupe_bucket"])
        how = "horizon + bucket + max(open windows, late segment)"
        add("recovery", "log read again after a kill, at the most", replay, "s", how)
        # What arrives meanwhile is read too: t × capacity = load × capacity × (replay + start + t).
        caught_up = load * (replay + v["start_seconds"]) / (1 - load)
        how = "load × (replay + start_seconds) ÷ (1 − load)"
        add("recovery", "from the kill to caught up, at the peak", caught_up + v["start_seconds"], "s", how)

    def _kafka(self) -> tuple[Fraction, int]:
        v, add = self.v, self.add
        wire = add("kafka", "bytes a second at the peak", self.peak * v["event_bytes"], "B/s", "rate × event_bytes")
        brokers = max(3, ceil(wire * v["replication"] / v["broker_bytes"]))
        add("kafka", "brokers", brokers, "", "bytes × replication ÷ broker_bytes, 3 at the least")
        log_bytes = v["events_per_day"] * v["event_bytes"] * v["replication"] * v["retention_days"]
        how = "events_per_day × event_bytes × replication × retention_days"
        return add("kafka", "log on disk", log_bytes, "B", how), brokers

    def _clickhouse(self) -> tuple[Fraction, int]:
        v, add, part = self.v, self.add, "clickhouse"
        rows_a_day = min(v["events_per_day"], self.rows_a_window * DAY / v["window"])
        add(part, "usage rows a day", rows_a_day, "rows", "rows a window × windows a day, as if the peak lasted")
        # A row that changes is written again by every flush until its window is closed.
        versions = max(
            Fraction(1), min(v["window"] / v["flush_interval"], self.peak * v["window"] / self.rows_a_window)
        )
        written = self.rows_a_window / v["window"] * versions
        how = "rows a window × min(flushes a window, events a row) ÷ window"
        add(part, "row versions written a second, at the peak", written, "rows/s", how)
        inserts = self.workers / v["flush_interval"]
        add(part, "inserts a second", inserts, "inserts/s", "workers ÷ flush_interval")
        shards = max(ceil(written / v["shard_rows"]), ceil(inserts / v["shard_inserts"]))
        add(part, "shards", shards, "", "the larger of rows ÷ shard_rows and inserts ÷ shard_inserts")
        add(part, "parts a day, before merges", inserts * DAY, "parts", "inserts × 86,400")
        how = "rows × bytes_per_stored_row"
        day_bytes = add(part, "bytes a day, merged", rows_a_day * v["bytes_per_stored_row"], "B", how)
        how = "bytes a day × row_days × replicas"
        return add(part, "bytes kept", day_bytes * v["row_days"] * v["replicas"], "B", how), shards

    def _cost(self, brokers: int, shards: int, disk_bytes: Fraction) -> None:
        v = self.v
        costs = {
            "workers": (self.workers * v["core_hour_cost"] * 24, "workers × core_hour_cost × 24"),
            "brokers": (brokers * v["broker_hour_cost"] * 24, "brokers × broker_hour_cost × 24"),
            "ClickHouse": (
                shards * v["replicas"] * v["shard_cores"] * v["core_hour_cost"] * 24,
                "shards × replicas × shard_cores × core_hour_cost × 24",
            ),
            "disks": (disk_bytes / 10**9 * v["gb_month_cost"] / 30, "(log + rows kept) × gb_month_cost ÷ 30"),
        }
        costs["all of it"] = (sum((cost for cost, _ in costs.values()), Fraction(0)), "the sum of the four")
        for name, (cost, how) in costs.items():
            each = cost / (v["events_per_day"] / 10**9)
            self.results.append(
                Result("cost", name, Decimal(ceil(each * 10_000)) / 10_000, "USD a billion events", how)
            )
