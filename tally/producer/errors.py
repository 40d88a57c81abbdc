"""What can go wrong between an application and the broker.

ProducerError(TallyError)        the producer cannot do what was asked; the message says what to do
├── ProducerFull                 the memory bound is reached and the broker is away: the event was not taken
├── FlushTimeout                 not everything is delivered yet; it is kept, and still being sent
├── Undelivered                  events that this producer will not deliver any more: `events` has them
├── ControlsUndelivered          the events arrived, the report on them did not
└── ProducerClosed               closed, or of another process: the event was not taken

An event that does not fit the native format is a ValueError, before anything is kept of it.
"""

from collections.abc import Sequence

from schemas.errors import TallyError
from tally.producer.events import UsageEvent


class ProducerError(TallyError):
    """The producer cannot do what was asked. The event of the call was not taken, unless the class says otherwise.

    `added`: how many events of this call were taken before it failed; the rest may be added again.
    """

    exit_status = 1
    added: int = 0


class ProducerFull(ProducerError):
    """The memory bound is reached, and the broker has not taken enough in the time that the caller allows."""


class FlushTimeout(ProducerError):
    """Not everything was delivered in time. All of it is kept, and still being sent."""


class Undelivered(ProducerError):
    """Events that were taken and that this producer will not deliver any more.

    `events` holds all of them: add them again, unchanged, and none is lost and none counted twice.
    """

    def __init__(self, message: str, events: Sequence[UsageEvent]) -> None:
        super().__init__(message)
        self.events = list(events)


class ControlsUndelivered(ProducerError):
    """Every event was delivered, but the report on them was not: the totals lag behind."""


class ProducerClosed(ProducerError):
    """The producer is closed, or was made in another process."""
