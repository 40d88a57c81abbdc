"""The flow: whether everything is counted, how far behind, what is thrown out, and what the store does."""

from typing import Final

from deploy.dashboards.panels import Choice, Dashboard, Panel, Row

LOG: Final = "{{topic}}/{{partition}}"
CHOSEN: Final = '{topic=~"$topic"}'


def _rate(metric: str, by: str = "topic") -> str:
    return f"sum by ({by}) (rate({metric}{CHOSEN}[$__rate_interval]))"


def _share(part: str, whole: str) -> str:
    return f"{_rate(part)} / ({_rate(whole)} > 0)"


def _quantile(share: str, metric: str, by: str) -> str:
    return f"histogram_quantile({share}, sum by ({by}, le) (rate({metric}_bucket[$__rate_interval])))"


COMPLETENESS: Final = (
    f"max by (topic) ((tally_watermark_delay_seconds{CHOSEN} and tally_lag_records{CHOSEN} > 0)"
    f" or (tally_log_end_age_seconds{CHOSEN} unless tally_lag_records{CHOSEN} > 0))"
)
"""As the recording rule topic:tally_completeness_delay_seconds:max has it, so that the panel does without the rules."""

NOW: Final = Row(
    "Now",
    (
        Panel(
            "Workers ready", "Processes whose /readyz says yes.", (("sum(tally_ready)", ""),), "stat", width=4, height=4
        ),
        Panel(
            "Workers not ready",
            "Alive and standing still, or starting: /readyz of the worker says why.",
            (("count(tally_ready == 0) or vector(0)", ""),),
            "stat",
            limits=(1,),
            width=4,
            height=4,
        ),
        Panel(
            "Records behind",
            "Records that were not counted yet, over all partitions.",
            ((f"sum(tally_lag_records{CHOSEN})", ""),),
            "stat",
            limits=(10_000, 1_000_000),
            width=4,
            height=4,
        ),
        Panel(
            "Usage complete to",
            "Age of the instant before which usage is complete, of the topic that is furthest behind.",
            ((f"max({COMPLETENESS})", ""),),
            "stat",
            "s",
            limits=(600, 1800),
            width=4,
            height=4,
        ),
        Panel(
            "Store away now",
            "How long the store has not answered; 0 while it does.",
            (("max(tally_store_away_seconds)", ""),),
            "stat",
            "s",
            limits=(1, 60),
            width=4,
            height=4,
        ),
        Panel(
            "Generation",
            "The newest generation that is written. It rises when a setting or a release changes answers.",
            ((f"max(tally_generation{CHOSEN})", ""),),
            "stat",
            width=4,
            height=4,
        ),
    ),
)

BEHIND: Final = Row(
    "How far behind",
    (
        Panel("Lag", "Records of a partition that wait.", ((f"tally_lag_records{CHOSEN}", LOG),)),
        Panel(
            "Watermark delay",
            "Wall clock less the watermark: older windows are closed. Grows on an idle partition, harmlessly.",
            ((f"tally_watermark_delay_seconds{CHOSEN}", LOG),),
            unit="s",
        ),
        Panel(
            "Completeness delay",
            "How old the newest usage is that nothing can change any more.",
            ((COMPLETENESS, "{{topic}}"),),
            unit="s",
            limits=(1800,),
        ),
        Panel(
            "Event to visible usage",
            "From an event's time to its being in the store, for the newest event of each flush.",
            (
                (_quantile("0.5", "tally_end_to_end_delay_seconds", "topic"), "{{topic}} p50"),
                (_quantile("0.99", "tally_end_to_end_delay_seconds", "topic"), "{{topic}} p99"),
            ),
            unit="s",
        ),
        Panel(
            "Age of the last sight of the end",
            "Lag is as old as this. Grows while a broker, or the store, is away.",
            ((f"tally_log_end_age_seconds{CHOSEN}", LOG),),
            unit="s",
        ),
        Panel(
            "Bytes of files behind",
            "Of files that are being read.",
            ((f"tally_lag_bytes{CHOSEN}", "{{topic}}"),),
            unit="bytes",
        ),
    ),
)

RATES: Final = Row(
    "What comes, and what becomes of it",
    (
        Panel(
            "Events",
            "Accepted + duplicates + not billable + rejected.",
            ((_rate("tally_events_total"), "{{topic}}"),),
            unit="eps",
        ),
        Panel("Records", "Messages or lines.", ((_rate("tally_records_total"), "{{topic}}"),), unit="cps"),
        Panel(
            "Verdicts",
            "The four add up to the events.",
            (
                (_rate("tally_accepted_total"), "{{topic}} accepted"),
                (_rate("tally_duplicates_total"), "{{topic}} duplicates"),
                (_rate("tally_not_billable_total"), "{{topic}} not billable"),
                (_rate("tally_rejected_total"), "{{topic}} rejected"),
            ),
            unit="eps",
        ),
        Panel(
            "Late, as a share of the accepted",
            "Counted in full, in windows that had closed.",
            ((_share("tally_late_total", "tally_accepted_total"), "{{topic}}"),),
            unit="percentunit",
            limits=(0.2,),
        ),
        Panel(
            "Duplicates, as a share of all",
            "Repeats within the dedupe horizon: not counted twice.",
            ((_share("tally_duplicates_total", "tally_events_total"), "{{topic}}"),),
            unit="percentunit",
            limits=(0.2,),
        ),
        Panel(
            "Rejected, as a share of all",
            "Dead letters: in no bill until they are replayed.",
            ((_share("tally_rejected_total", "tally_events_total"), "{{topic}}"),),
            unit="percentunit",
            limits=(0.01,),
        ),
        Panel(
            "Rejected, by reason",
            "`tally deadletters list` shows them.",
            ((_rate("tally_rejected_total", "topic, reason"), "{{topic}} {{reason}}"),),
            unit="eps",
            width=12,
        ),
        Panel(
            "Not billable, by reason",
            "Events whose producer says that they are not billed.",
            ((_rate("tally_not_billable_total", "topic, reason"), "{{topic}} {{reason}}"),),
            unit="eps",
            width=12,
        ),
    ),
)

STORE: Final = Row(
    "The store",
    (
        Panel(
            "Flush",
            "From the meters to the progress row that covers them.",
            (
                (_quantile("0.5", "tally_flush_duration_seconds", "instance"), "{{instance}} p50"),
                (_quantile("0.99", "tally_flush_duration_seconds", "instance"), "{{instance}} p99"),
            ),
            unit="s",
        ),
        Panel(
            "Insert, 90 % within",
            "One insert into one table.",
            ((_quantile("0.9", "tally_insert_duration_seconds", "table"), "{{table}}"),),
            unit="s",
            limits=(5,),
        ),
        Panel(
            "Usage rows written",
            "A row is written at each flush that changes it.",
            ((_rate("tally_rows_total"), "{{topic}}"),),
            unit="cps",
        ),
        Panel(
            "Rows a flush",
            "Half and 99 % of the flushes have at most this many.",
            (
                (_quantile("0.5", "tally_flush_rows", "instance"), "{{instance}} p50"),
                (_quantile("0.99", "tally_flush_rows", "instance"), "{{instance}} p99"),
            ),
        ),
        Panel(
            "Store away",
            "Since when it has not answered.",
            (("tally_store_away_seconds", "{{instance}}"),),
            unit="s",
            limits=(60,),
        ),
        Panel(
            "Waits for the store",
            "Attempts that found it away.",
            (("rate(tally_store_waits_total[$__rate_interval])", "{{instance}}"),),
        ),
    ),
)

PROCESS: Final = Row(
    "The workers",
    (
        Panel("Ids in the dedupe index", "Of each partition.", ((f"tally_dedupe_ids{CHOSEN}", LOG),)),
        Panel(
            "Memory of the dedupe index",
            "The run stops at dedupe_max_bytes a partition (1 GiB by default).",
            ((f"tally_dedupe_size_bytes{CHOSEN}", LOG),),
            unit="bytes",
            limits=(858_993_459, 1_073_741_824),
        ),
        Panel("Open usage rows", "Rows in memory that may still change.", ((f"tally_open_rows{CHOSEN}", LOG),)),
        Panel(
            "Logs being read",
            "Partitions or files, by worker.",
            ((f"sum by (instance, topic) (tally_logs{CHOSEN})", "{{instance}} {{topic}}"),),
        ),
        Panel(
            "Since the loop last turned",
            "Saws between 0 and a tick.",
            (("tally_loop_age_seconds", "{{instance}}"),),
            unit="s",
        ),
        Panel("Ready", "1 where /readyz answers 200.", (("tally_ready", "{{instance}}"),)),
    ),
)

FLOW: Final = Dashboard(
    "tally-flow",
    "Tally: the flow",
    "Whether everything that comes is counted, and how late.",
    (NOW, BEHIND, RATES, STORE, PROCESS),
    (Choice("topic", "Topic", "label_values(tally_logs, topic)"),),
)
