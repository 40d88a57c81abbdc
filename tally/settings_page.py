"""The page that documents every setting, written from the settings themselves: `python -m tally.settings_page`.

`make docs` writes it to docs/settings.md, and a test holds the two equal.
"""

from typing import Final

from tally.setting_sources import ARGUMENTS, flag, variable
from tally.settings import Settings

SECTIONS: Final = {
    "What is read, and where it goes": ("store", "sources", "name", "format"),
    "What is counted, and how": (
        "catalogue",
        "group_by_project",
        "group_by",
        "window",
        "allowed_lateness",
        "dedupe_bucket",
        "dedupe_horizon",
        "max_future",
        "max_age",
        "as_of",
    ),
    "Kafka": ("kafka", "trust_producer_time", "until_end", "consumer_group"),
    "How it runs": (
        "flush_interval",
        "batch_bytes",
        "dedupe_max_bytes",
        "store_patience",
        "max_rejected_ratio",
        "max_rejected_in_row",
        "again",
        "accept_gap",
    ),
    "How it is watched": ("metrics_address", "otlp_endpoint", "traces", "stall_after", "log_format", "log_level"),
    "Rating": ("book", "contracts"),
}

INTRODUCTION: Final = """\
# Settings

<!-- Written by `make docs` from tally/settings.py: change it there. -->

A setting is taken from its flag, else from its environment variable, else from `tally.toml` in the working folder (or
the file that `TALLY_CONFIG` names), else it has its default. `tally config` prints the settings in force and where each
came from. `python -m bytewax.run "dataflows.usage:flow()"` reads the same, flags aside.

- A **duration** is written like `500ms`, `60s`, `10min`, `2h` or `90d`; a bare number is seconds.
- A **size** is written like `512MiB`, `1GiB` or `2GB`; a bare number is bytes.
- An **instant** is RFC 3339 with a zone, like `2026-11-22T10:00:00Z`.
- A **list** is one flag for each item, or text with commas in the environment, or a list in the file.
- **Kafka properties** are `--kafka key=value`, a JSON object in the environment, or a table in the file; those of all
  three places are joined, key by key.
- A key of `tally.toml` that is no setting is an error. Passwords and keys are never shown.

Settings marked **new generation** change what is counted. When one of them changes, a run starts a new generation of
its logs, which needs a clean stop of the run before (see ARCHITECTURE.md).

```toml
# tally.toml
store = "clickhouse://tally@db.internal:8123/tally"
sources = ["kafka://broker.internal:9092/usage"]
group_by = ["region"]
window = "5min"

[kafka]
"security.protocol" = "SASL_SSL"
"sasl.mechanism" = "SCRAM-SHA-512"
"sasl.username" = "tally"   # the password: TALLY_KAFKA='{"sasl.password": "…"}'
```
"""

NOT_SETTINGS: Final = """\
## Other variables

| variable | what it says |
|---|---|
| `TALLY_CONFIG` | The settings file to read instead of `tally.toml`. |
| `TALLY_SERVE_PASSWORD` | The password of `tally serve`. |
"""

NEW_GENERATION: Final = frozenset(
    {
        "format",
        "catalogue",
        "group_by_project",
        "group_by",
        "window",
        "allowed_lateness",
        "dedupe_bucket",
        "dedupe_horizon",
        "max_future",
        "max_age",
        "as_of",
        "trust_producer_time",
    }
)
"""Settings that are part of the meter's fingerprint."""


def page() -> str:
    """Return the page, in Markdown."""
    parts = [INTRODUCTION]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        parts.append("| setting | flag | variable | default | what it says |\n|---|---|---|---|---|")
        parts.extend(_row(name) for name in names)
        parts.append("")
    return "\n".join([*parts, NOT_SETTINGS])


def _row(name: str) -> str:
    default = Settings().shown()[name]
    written = "" if default in (None, [], {}) else f"`{str(default).lower() if isinstance(default, bool) else default}`"
    given = "argument" if name in ARGUMENTS else f"`{flag(name)}`"
    said = f"{Settings.model_fields[name].description}{' **New generation.**' if name in NEW_GENERATION else ''}"
    return f"| `{name}` | {given} | `{variable(name)}` | {written} | {said} |"


if __name__ == "__main__":
    print(page(), end="")
