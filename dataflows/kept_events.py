"""The accepted events of categories that keep theirs, collected between two flushes."""

import numpy as np
from numpy.typing import NDArray

from schemas.log import NO_VALUES, EventBatch, Int64s
from schemas.metering import MeterSettings
from schemas.usage import KeptRows
from schemas.verdicts import ACCEPTED


class KeptEvents:
    """What one partition has accepted, of the categories that say so, and not yet handed over.

    An event is collected when its verdict is counted, so never in a replay: what a replay goes over was written before
    the progress that it starts from.
    """

    def __init__(self, settings: MeterSettings) -> None:
        self._names = settings.catalogue.names
        self._by_project = settings.group_by_project
        self._keeps = np.zeros(len(self._names), dtype=np.bool_)
        self._keeps[list(settings.catalogue.keeps())] = True
        self._parts: list[KeptRows] = []

    def collect(self, batch: EventBatch, verdict: NDArray[np.uint8], first_event: int) -> None:
        """Take up the accepted events of a batch from `first_event` on, `verdict` being what became of each."""
        wanted = self._keeps[batch.category[first_event:]] & (verdict[first_event:] == ACCEPTED)
        events = np.flatnonzero(wanted) + first_event
        if not len(events):
            return
        kept = [batch.kept.get(event, NO_VALUES) for event in events.tolist()] if batch.kept else None
        none = ("",) * len(events)
        names = batch.dimension_values
        self._parts.append(
            KeptRows(
                org=batch.org[events],
                category=batch.category[events],
                project=batch.project[events] if self._by_project else np.zeros(len(events), np.int64),
                timestamp=batch.timestamp[events],
                offset=batch.records.offsets[batch.record[events]],
                index=batch.index[events].astype(np.int64),
                quantity=batch.quantity[events],
                dimensions=none if len(names) == 1 else tuple(names[n] for n in batch.dimensions[events].tolist()),
                values=none if kept is None else tuple(one.value for one in kept),
                amounts=none if kept is None else tuple(one.amount for one in kept),
                category_names=self._names,
            )
        )

    def take(self) -> KeptRows | None:
        """Hand over what was collected since this was last asked; None for nothing."""
        parts, self._parts = self._parts, []
        if len(parts) <= 1:
            return parts[0] if parts else None

        def joined(name: str) -> Int64s:
            return np.concatenate([getattr(part, name) for part in parts])

        return KeptRows(
            org=joined("org"),
            category=np.concatenate([part.category for part in parts]),
            project=joined("project"),
            timestamp=joined("timestamp"),
            offset=joined("offset"),
            index=joined("index"),
            quantity=joined("quantity"),
            dimensions=tuple(one for part in parts for one in part.dimensions),
            values=tuple(one for part in parts for one in part.values),
            amounts=tuple(one for part in parts for one in part.amounts),
            category_names=self._names,
        )
