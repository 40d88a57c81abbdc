"""The page that documents every metric, written from the list itself: `python -m tally.telemetry.page`.

`make docs` writes it to docs/metrics.md, and a test holds the two equal.
"""

from typing import Final

from tally.telemetry.names import ABOUT, BUCKETS, METRICS, prometheus_name

INTRODUCTION: Final = """\
# Metrics

<!-- Written by `make docs` from tally/telemetry/names.py: change it there. -->

`metrics_address` serves them in Prometheus' text at `/metrics`, `otlp_endpoint` sends them to an OpenTelemetry
collector; [OPERATIONS.md](OPERATIONS.md) says what to watch and what to do. Counters begin at 0 with the process, and
count what has reached the store. All numbers of one scrape are of one moment: in each, `tally_events_total` is the sum
of accepted, duplicates, not billable and rejected.

`topic` and `partition` are the log's. Files are summed by topic, without `partition`: a folder may hold many thousands.
A metric of logs lacks those of which it cannot be said (the lag of standard input, a watermark before the first event).

A rater that stays gives out those of rating, of inserts and of the store. A single `tally rate` sends those of rating
when it is given `otlp_endpoint`, once, as it ends; so does `tally reconcile` its own two, without the laws that it did
not check. An alert looks back over the time between two such runs.

| OpenTelemetry | Prometheus | kind | unit | attributes | what it says |
|---|---|---|---|---|---|
"""


def page() -> str:
    """Return the page, in Markdown."""
    rows = []
    for name in METRICS:
        about = ABOUT[name]
        attributes = ", ".join(f"`{attribute}`" for attribute in about.attributes)
        unit = about.unit.strip("{}").replace("By", "bytes")
        shown = "" if unit == "1" else unit
        rows.append(
            f"| `{name}` | `{prometheus_name(name)}` | {about.kind} | {shown} | {attributes} | {about.meaning} |"
        )
    buckets = [f"- `{name}`: {', '.join(f'{bound:g}' for bound in bounds)}" for name, bounds in BUCKETS.items()]
    return INTRODUCTION + "\n".join([*rows, "", "## Buckets of the histograms", "", *buckets]) + "\n"


if __name__ == "__main__":
    print(page(), end="")
