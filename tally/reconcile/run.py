"""All laws, one after the other."""

from collections.abc import Callable
from typing import Final

from schemas.differences import LAWS, Checked, Reconciliation
from tally.reconcile.asking import Asking
from tally.reconcile.control_laws import control_laws
from tally.reconcile.count_laws import count_laws
from tally.reconcile.generations import generation_laws
from tally.reconcile.kept_laws import kept_laws
from tally.reconcile.letter_laws import letter_laws
from tally.reconcile.log_laws import Logs, log_laws
from tally.reconcile.money_laws import money_laws
from tally.reconcile.replay_laws import replay_laws
from tally.reconcile.view_laws import view_laws

CHECKS: Final[tuple[Callable[[Asking], list[Checked]], ...]] = (
    count_laws,
    kept_laws,
    letter_laws,
    generation_laws,
    control_laws,
    view_laws,
    replay_laws,
    money_laws,
)
"""Everything that the store alone can answer."""


def reconcile(ask: Asking, logs: Logs | None = None) -> Reconciliation:
    """Check every law and return what was found; `logs` is where the logs themselves are asked (None: not at all).

    Memory holds the findings that are kept, a page of what is compared, and the newest progress of every log. Raises
    what the store raises.
    """
    ask.store.check_version()
    checked = [law for check in CHECKS for law in check(ask)]
    checked += log_laws(ask, logs)
    checked.sort(key=lambda law: LAWS.index(law.law))
    asked = ask.asked
    return Reconciliation(ask.at, tuple(checked), asked.start, asked.end, asked.topic)
