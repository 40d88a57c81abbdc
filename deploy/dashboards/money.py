"""The money: what was spent, what nobody has priced, what differs; asked of the tables, and of the rater's metrics."""

from typing import Final

from deploy.dashboards import queries
from deploy.dashboards.flow import CHOSEN, COMPLETENESS
from deploy.dashboards.panels import Choice, Dashboard, Panel, Row

COMPLETE: Final = COMPLETENESS.replace(CHOSEN, "")
"""Of all topics: money is not chosen by topic."""


def _now(title: str, meaning: str, promql: str, unit: str = "short", limits: tuple[float, ...] = ()) -> Panel:
    return Panel(title, meaning, ((promql, ""),), "stat", unit, limits=limits, width=6, height=4)


def _each_second_of_rating(metric: str) -> str:
    return f"sum(rate({metric}[1h])) / (sum(rate(tally_rating_duration_seconds_sum[1h])) > 0)"


def _stat(title: str, meaning: str, sql: str, unit: str = "short", limits: tuple[float, ...] = ()) -> Panel:
    return Panel(title, meaning, ((sql, ""),), "stat", unit, sql=True, limits=limits, width=6, height=4)


def _table(title: str, meaning: str, sql: str, width: int = 12) -> Panel:
    return Panel(title, meaning, ((sql, ""),), "table", sql=True, width=width, height=9)


SPEND: Final = Row(
    "Spend of the month, from statements",
    (
        _stat(
            "Usage complete to",
            "Nothing before it can change but by a replay. Empty: not known, so no statement may be called complete.",
            queries.COMPLETE_TO,
            "dateTimeAsIso",
        ),
        _stat(
            "Organisations with a statement",
            "Rated in this month; statements that are incomplete are not kept.",
            queries.RATED,
        ),
        _stat(
            "Organisations with usage and no statement",
            "Nobody has priced them, or their usage cannot be priced: `tally rate` says which on stderr.",
            queries.UNRATED,
            limits=(1,),
        ),
        _stat(
            "Oldest rating",
            "When the statement that was written longest ago was made. Rating again without a change writes nothing.",
            queries.OLDEST,
            "dateTimeAsIso",
        ),
        _table(
            "Total",
            "By currency: the statements that are kept now, and what was billed before the end.",
            queries.TOTALS,
            8,
        ),
        _table(
            "By category",
            "Amounts of the period's lines, whenever they were billed. Fees are of no category.",
            queries.BY_CATEGORY,
            8,
        ),
        _table("Largest organisations", "By the total of their statements.", queries.LARGEST, 8),
    ),
)

RATING: Final = Row(
    "The rater",
    (
        _now(
            "Raters ready",
            "Those that stay, and whose last pass could rate. A rater that is a Job has no such page.",
            "sum(tally_rating_ready)",
        ),
        _now(
            "Since the last pass that rated",
            "Also one that found usage without a price. Statements are as old as this.",
            "time() - max(last_over_time(tally_rating_time_seconds[3d]))",
            "s",
            (1_200, 3_600),
        ),
        _now(
            "Usage without a price",
            "Failures of the last pass over each month: usage that is in no bill.",
            "sum(max by (month, reason) (tally_rating_failures)) or vector(0)",
            limits=(1,),
        ),
        _now(
            "Rated behind complete usage",
            "How much further usage is complete than it was when it was rated: about the time between two passes.",
            f"max(tally_rating_delay_seconds) - max({COMPLETE})",
            "s",
            (1_800, 3_600),
        ),
        Panel(
            "Rated usage is complete to",
            "Age of the instant to which the usage that was rated last is complete.",
            (("max(tally_rating_delay_seconds)", "rated"), (f"max({COMPLETE})", "counted")),
            unit="s",
        ),
        Panel(
            "Failures, by month and reason",
            "`tally rate --period MONTH` names each; the log of the rater names a new one once.",
            (("max by (month, reason) (tally_rating_failures) > 0", "{{month}} {{reason}}"),),
            limits=(1,),
        ),
        Panel(
            "Passes an hour, by how they ended",
            "Rated, incomplete (some usage has no price), stopped, or what a failed one failed by.",
            (("sum by (result) (increase(tally_rating_passes_total[1h]))", "{{result}}"),),
        ),
        Panel(
            "Statements an hour, by what became of them",
            "Written where they say something new; superseded by a newer book or by more usage read.",
            (("sum by (outcome) (increase(tally_rating_statements_total[1h]))", "{{outcome}}"),),
        ),
        Panel(
            "How long a pass takes",
            "Half of the passes of the last hour, and 99 % of them, took at most so long.",
            (
                ("histogram_quantile(0.5, sum by (le) (rate(tally_rating_duration_seconds_bucket[1h])))", "p50"),
                ("histogram_quantile(0.99, sum by (le) (rate(tally_rating_duration_seconds_bucket[1h])))", "p99"),
            ),
            unit="s",
        ),
        Panel(
            "Rated a second of a pass",
            "Organisations and lines of statements, of those that were rated; what is unchanged is passed over.",
            (
                (_each_second_of_rating("tally_rating_organisations_total"), "organisations"),
                (_each_second_of_rating("tally_rating_lines_total"), "lines"),
            ),
        ),
    ),
)

UNRATED: Final = Row(
    "Counted and not billed",
    (
        _table(
            "What the last rating could not price",
            "The oldest first. A statement of the same organisation is of an earlier rating, before this.",
            queries.FAILURES,
            24,
        ),
        _table(
            "Usage without a statement",
            "The largest first. No contract, or no price: `tally rate --period MONTH --org ID` says why.",
            queries.USAGE_UNRATED,
        ),
        _table(
            "Dead letters that were not replayed",
            "Rejected events, of all time, by reason. `tally deadletters list` shows them.",
            queries.LETTERS,
        ),
    ),
)

DIFFERENCES: Final = Row(
    "Does everything add up",
    (
        Panel(
            "Laws that differ, by reconciliation",
            "0 is what a bill needs. A run is kept each time `tally reconcile` is called.",
            ((queries.LAWS_BY_RUN, ""),),
            sql=True,
            limits=(1,),
        ),
        Panel(
            "Places that differ, by law",
            "As the last run sent it to the collector.",
            (("max by (law) (last_over_time(tally_reconciliation_differences[1d]))", "{{law}}"),),
            "bargauge",
            limits=(1,),
        ),
        Panel(
            "Since the last reconciliation",
            "As it was sent to the collector.",
            (("time() - max(last_over_time(tally_reconciliation_time_seconds[3d]))", ""),),
            "stat",
            "s",
            limits=(7_200, 86_400),
        ),
        _table(
            "The last reconciliation, law by law",
            "Both sides of each law. In flight, stale and not checked are no differences.",
            queries.LAST_RUN,
        ),
        _table("Differences, place by place", "The newest first.", queries.PLACES),
    ),
)

USAGE: Final = Row(
    "Usage behind it",
    (
        Panel(
            "Quantity by day",
            "The month's usage by category, over all organisations.",
            ((queries.QUANTITY_BY_DAY, ""),),
            sql=True,
            width=12,
        ),
        Panel(
            "Late events by day",
            "Counted after their window had closed: what moved in numbers that looked final.",
            ((queries.LATE_BY_DAY, ""),),
            sql=True,
            width=12,
        ),
    ),
)

MONEY: Final = Dashboard(
    "tally-money",
    "Tally: the money",
    "What is billed, what is not, and whether both agree with what was counted.",
    (SPEND, RATING, UNRATED, DIFFERENCES, USAGE),
    (Choice("month", "Month", queries.MONTHS, sql=True, several=False),),
    since="now-30d",
    refresh="5m",
)
