"""The SQL of the money dashboard. `${month}` is the chosen month's first day; Grafana puts it in, and the `$__` macros.

Every table is read deduplicated (FINAL, or a view that does so). Amounts are summed with 76 digits: sums of
Decimal(38, 18) wrap without a word.
"""

from typing import Final

MONTHS: Final = "SELECT DISTINCT toString(toStartOfMonth(day)) AS month FROM usage_daily ORDER BY month DESC LIMIT 36"

COMPLETE_TO: Final = "SELECT complete_to FROM complete_to"

RATED: Final = """\
SELECT uniqExact(org_id) AS rated FROM statements FINAL
WHERE period_start = toDateTime('${month}', 'UTC') AND notEmpty(`lines.line_no`)"""

UNRATED: Final = """\
SELECT uniqExact(org_id) AS unrated FROM usage_daily
WHERE day >= toDate('${month}') AND day < addMonths(toDate('${month}'), 1)
  AND org_id NOT IN (
    SELECT org_id FROM statements FINAL
    WHERE period_start = toDateTime('${month}', 'UTC') AND notEmpty(`lines.line_no`)
  )"""

OLDEST: Final = """\
SELECT min(rated_at) AS oldest FROM statements FINAL
WHERE period_start = toDateTime('${month}', 'UTC') HAVING count() > 0"""

BILLED: Final = """\
(
    SELECT org_id, contract, currency, total, notEmpty(`lines.line_no`) AS closing FROM statements FINAL
    WHERE period_start = toDateTime('${month}', 'UTC')
    UNION ALL
    SELECT org_id, contract, currency, total, 0 FROM interim_statements FINAL
    WHERE period_start = toDateTime('${month}', 'UTC')
)"""
"""What was billed for the month, before its end and at its end: a period's own statement has taken the former off."""

TOTALS: Final = f"""\
SELECT currency, sum(toDecimal256(b.total, 18)) AS total, countIf(closing) AS statements,
  countIf(NOT closing) AS interim
FROM (SELECT * FROM {BILLED} WHERE closing OR total != 0) AS b GROUP BY currency ORDER BY currency"""  # noqa: S608 - of texts of this file

BY_CATEGORY: Final = """\
SELECT currency, category, sum(toDecimal256(c.amount, 18)) AS amount, sum(toDecimal256(c.quantity, 18)) AS quantity
FROM charges AS c
WHERE period_start = toDateTime('${month}', 'UTC') AND JSONExtractString(detail, 'kind') != 'already_invoiced'
GROUP BY currency, category ORDER BY amount DESC LIMIT 100"""

LARGEST: Final = f"""\
SELECT org_id, contract, currency, sum(toDecimal256(b.total, 18)) AS total FROM {BILLED} AS b
GROUP BY org_id, contract, currency ORDER BY total DESC LIMIT 50"""  # noqa: S608 - of texts of this file

FAILURES: Final = """\
SELECT org_id, period_start, reason, category, detail, since FROM unrated
WHERE period_start < addMonths(toDateTime('${month}', 'UTC'), 1) AND period_end > toDateTime('${month}', 'UTC')
ORDER BY since, org_id, reason, category LIMIT 100"""

USAGE_UNRATED: Final = """\
SELECT org_id, category, sum(u.quantity) AS quantity, sum(u.events) AS events FROM usage_daily AS u
WHERE day >= toDate('${month}') AND day < addMonths(toDate('${month}'), 1)
  AND org_id NOT IN (
    SELECT org_id FROM statements FINAL
    WHERE period_start = toDateTime('${month}', 'UTC') AND notEmpty(`lines.line_no`)
  )
GROUP BY org_id, category ORDER BY events DESC LIMIT 100"""

LETTERS: Final = """\
SELECT topic, reason, count() AS letters, max(clock) AS newest FROM active_letters
WHERE (topic, partition, offset, index) NOT IN (SELECT topic, partition, offset, index FROM replays FINAL)
GROUP BY topic, reason ORDER BY letters DESC LIMIT 100"""

LAWS_BY_RUN: Final = """\
SELECT at AS time, countIf(standing = 'difference') AS laws FROM reconciliations FINAL
WHERE place = '' AND at >= $__fromTime AND at <= $__toTime GROUP BY at ORDER BY at"""

LAST_RUN: Final = """\
SELECT law, standing, places, left_side, right_side, note FROM reconciliations FINAL
WHERE place = '' AND at = (SELECT max(at) FROM reconciliations) ORDER BY standing = 'difference' DESC, law"""

PLACES: Final = """\
SELECT at, law, place, left_side, right_side, note FROM reconciliations FINAL
WHERE standing = 'difference' AND place != '' ORDER BY at DESC, law, place LIMIT 100"""

QUANTITY_BY_DAY: Final = """\
SELECT toDateTime(day, 'UTC') AS time, category, sum(u.quantity) AS quantity FROM usage_daily AS u
WHERE day >= toDate('${month}') AND day < addMonths(toDate('${month}'), 1) GROUP BY day, category ORDER BY time"""

LATE_BY_DAY: Final = """\
SELECT toDateTime(day, 'UTC') AS time, sum(u.late_events) AS late, sum(u.events) AS events FROM usage_daily AS u
WHERE day >= toDate('${month}') AND day < addMonths(toDate('${month}'), 1) GROUP BY day ORDER BY time"""
