"""Every metric that Tally gives out: the one list, from which docs/metrics.md is written.

A metric that is not here cannot be recorded: its name would be a type error.
"""

from typing import Final, Literal, NamedTuple, get_args

Metric = Literal[
    # What was counted. Only what has reached the store is in these, so they equal the rows that readers see.
    "tally.records",  # messages or lines
    "tally.events",  # = accepted + duplicates + not billable + rejected, at every moment
    "tally.accepted",  # counted events, late ones included
    "tally.late",  # accepted after their window had closed: counted in full, in rows of their own
    "tally.duplicates",  # repeats within the dedupe horizon
    "tally.not_billable",  # by reason
    "tally.rejected",  # by reason: each is a dead letter
    "tally.rows",  # usage rows written: a row that changes in ten flushes is written ten times
    # How far behind the flow is.
    "tally.lag.records",  # of a topic: offsets between what was written and the log's end as last seen
    "tally.lag.bytes",  # of files
    "tally.log_end.age",  # how old that sight of the end is; grows while the broker or the store is away
    "tally.watermark.delay",  # wall clock less the watermark
    "tally.end_to_end.delay",  # from an event's time to its being visible in the store, for the newest of each flush
    # What a flush costs.
    "tally.flush.duration",  # from the first meter's flush to the progress row that covers it
    "tally.flush.rows",  # usage rows of one flush
    "tally.insert.duration",  # one insert into one table
    "tally.store.waits",  # attempts that found the store away
    "tally.store.away",  # for how long it has been away; 0 while it answers
    # What the flow holds in memory.
    "tally.logs",  # logs that are being read
    "tally.open_rows",  # usage rows that may still change
    "tally.dedupe.ids",  # ids in the index, those past the horizon that were not forgotten yet included
    "tally.dedupe.size",  # its memory; the run stops at dedupe_max_bytes a log
    # The state of the process.
    "tally.generation",  # of the rows that are written
    "tally.ready",  # what /readyz answers
    "tally.loop.age",  # since the flow last turned
    # What `tally rate` does: of one that stays, or sent once as a single pass ends.
    "tally.rating.passes",  # by result: how each ended
    "tally.rating.time",  # when the last one that rated ended: without it a rater that no longer rates looks well
    "tally.rating.duration",  # of one pass
    "tally.rating.organisations",  # rated, each once a billing period; those that are unchanged are passed over
    "tally.rating.lines",  # of their statements
    "tally.rating.statements",  # by outcome: written, unchanged, superseded, withdrawn
    "tally.rating.failures",  # what the last pass could not price, by month and reason; 0 where it was mended
    "tally.rating.delay",  # wall clock less the instant to which the usage that was rated last is complete
    "tally.rating.ready",  # what /readyz of a rater answers
    # What `tally reconcile` found: sent by that command as it ends, and not by a flow.
    "tally.reconciliation.differences",  # of its last run, by law; 0 where the law holds
    "tally.reconciliation.time",  # when that was: without it a reconciliation that no longer runs looks well
]

METRICS: Final[tuple[Metric, ...]] = get_args(Metric)

RECONCILIATION: Final[tuple[Metric, ...]] = ("tally.reconciliation.differences", "tally.reconciliation.time")
"""What `tally reconcile` sends over OTLP; it is over before anybody could ask it."""

RATING: Final = tuple(name for name in METRICS if name.startswith("tally.rating."))
"""What a rater alone gives out."""

OF_A_RATER: Final[tuple[Metric, ...]] = (*RATING, "tally.insert.duration", "tally.store.waits", "tally.store.away")
"""What a rater gives out: its own, and what it has in common with a flow."""

OF_A_FLOW: Final = tuple(name for name in METRICS if name not in {*RECONCILIATION, *RATING})
"""What a flow gives out."""

Kind = Literal["counter", "gauge", "histogram"]
Attribute = Literal["topic", "partition", "reason", "table", "law", "result", "outcome", "month"]

PLACE: Final[tuple[Attribute, ...]] = ("topic", "partition")
"""A partition is named where there are few: those of a Kafka topic. Files are summed by the topic they belong to."""


class About(NamedTuple):
    """What a metric is: kind, unit (UCUM; in braces where it only names what is counted), attributes, meaning."""

    kind: Kind
    unit: str
    attributes: tuple[Attribute, ...]
    meaning: str


ABOUT: Final[dict[Metric, About]] = {
    "tally.records": About("counter", "{record}", PLACE, "Records (messages or lines) that were counted."),
    "tally.events": About("counter", "{event}", PLACE, "Events: accepted + duplicates + not billable + rejected."),
    "tally.accepted": About("counter", "{event}", PLACE, "Events that are in usage rows, late ones included."),
    "tally.late": About("counter", "{event}", PLACE, "Accepted events whose window had closed; counted in full."),
    "tally.duplicates": About("counter", "{event}", PLACE, "Repeats of an event within the dedupe horizon."),
    "tally.not_billable": About("counter", "{event}", (*PLACE, "reason"), "Events that are not billed, by reason."),
    "tally.rejected": About("counter", "{event}", (*PLACE, "reason"), "Rejected events (dead letters), by reason."),
    "tally.rows": About(
        "counter", "{row}", PLACE, "Usage rows written; a row is written at each flush that changes it."
    ),
    "tally.lag.records": About(
        "gauge", "{record}", PLACE, "Offsets from what was written to the end of the log as last seen; Kafka."
    ),
    "tally.lag.bytes": About("gauge", "By", ("topic",), "The same for files, summed over those of a topic being read."),
    "tally.log_end.age": About(
        "gauge", "s", PLACE, "Age of the last sight of the log's end: lag is that old. Grows while a broker is away."
    ),
    "tally.watermark.delay": About(
        "gauge", "s", PLACE, "Wall clock less the watermark: what is older than this is counted, or late."
    ),
    "tally.end_to_end.delay": About(
        "histogram", "s", ("topic",), "From the newest event time of a flush to the moment it is visible in the store."
    ),
    "tally.flush.duration": About("histogram", "s", (), "One flush of all logs, from the meters to the progress row."),
    "tally.flush.rows": About("histogram", "{row}", (), "Usage rows of one flush."),
    "tally.insert.duration": About("histogram", "s", ("table",), "One insert into one table of the store."),
    "tally.store.waits": About("counter", "{wait}", (), "Attempts that found the store away, each followed by a wait."),
    "tally.store.away": About("gauge", "s", (), "How long the store has been away; 0 while it answers."),
    "tally.logs": About("gauge", "{log}", ("topic",), "Logs (partitions or files) that are being read now."),
    "tally.open_rows": About("gauge", "{row}", PLACE, "Usage rows in memory that may still change."),
    "tally.dedupe.ids": About("gauge", "{id}", PLACE, "Event ids in the dedupe index."),
    "tally.dedupe.size": About("gauge", "By", PLACE, "Memory of the dedupe index; a log's bound is dedupe_max_bytes."),
    "tally.generation": About("gauge", "{generation}", PLACE, "The generation whose rows are being written."),
    "tally.ready": About("gauge", "1", (), "1 where /readyz answers 200, else 0."),
    "tally.loop.age": About("gauge", "s", (), "Since the flow last turned: a tick, or a wait for the store."),
    "tally.rating.passes": About(
        "counter",
        "{pass}",
        ("result",),
        "Passes: rated, incomplete (some usage has no price), stopped, or what failed.",
    ),
    "tally.rating.time": About(
        "gauge",
        "s",
        (),
        "When the last pass that rated ended, in seconds since 1970 UTC; also where usage has no price.",
    ),
    "tally.rating.duration": About("histogram", "s", (), "One pass over all months that were due."),
    "tally.rating.organisations": About(
        "counter", "{organisation}", (), "Organisations rated, each once a billing period; unchanged ones are not."
    ),
    "tally.rating.lines": About("counter", "{line}", (), "Lines of the statements that were rated."),
    "tally.rating.statements": About("counter", "{statement}", ("outcome",), "Statements, by what became of them."),
    "tally.rating.failures": About(
        "gauge", "{failure}", ("month", "reason"), "What the last pass over a month could not price, by reason."
    ),
    "tally.rating.delay": About(
        "gauge", "s", (), "Wall clock less the instant to which the usage that was rated last is complete."
    ),
    "tally.rating.ready": About("gauge", "1", (), "1 where /readyz of a rater that stays answers 200, else 0."),
    "tally.reconciliation.differences": About(
        "gauge", "{difference}", ("law",), "Places that differ, as the last `tally reconcile` found; OTLP only."
    ),
    "tally.reconciliation.time": About(
        "gauge", "s", (), "When the last `tally reconcile` ran, in seconds since 1970 UTC; OTLP only."
    ),
}

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
DELAYS: Final = (0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)
PASSES: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 10_800.0)
ROWS: Final = (0.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0, 10_000_000.0)

BUCKETS: Final[dict[Metric, tuple[float, ...]]] = {
    "tally.end_to_end.delay": DELAYS,
    "tally.flush.duration": SECONDS,
    "tally.flush.rows": ROWS,
    "tally.insert.duration": SECONDS,
    "tally.rating.duration": PASSES,
}
"""Upper bounds of each histogram's buckets."""

assert ABOUT.keys() == set(METRICS), "every metric is described once"
assert BUCKETS.keys() == {name for name, about in ABOUT.items() if about.kind == "histogram"}


def prometheus_name(name: Metric) -> str:
    """Return the name that a metric has in Prometheus' text: a unit and, of a counter, `_total` at its end."""
    about = ABOUT[name]
    unit = {"s": "_seconds", "By": "_bytes"}.get(about.unit, "")
    written = name.replace(".", "_")
    return written + ("" if written.endswith(unit) else unit) + ("_total" if about.kind == "counter" else "")
