"""How a run is watched: logs, metrics, traces, probes. All of it is off until a setting asks for it, but for the logs.

logs.py       what a process says, as lines for people or as JSON
names.py      every metric, what it means and in which unit: the one list, from which docs/metrics.md is written
state.py      what is known of a flow, updated once a tick
observer.py   the hooks that learn it: what the flow calls anyway, at ticks and writes
readings.py   the state as metric readings
export.py     OpenTelemetry: to a collector over OTLP, and in Prometheus' text
spans.py      traces: a span a flush
rater.py      the same of a rater: its state, the hooks, the readings
rating.py     a rater's endpoint and exporters; a single pass, sent to a collector
reconciled.py what `tally reconcile` found, sent to a collector
server.py     /metrics, /healthz, /readyz
opening.py    what the settings ask for, put together
"""
