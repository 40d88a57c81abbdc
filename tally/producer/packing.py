"""How events become a record's value: one JSON object, lines of JSON, or an Arrow IPC stream; and back, for a retry.

A batch collects events of one partition until it is sealed. What a batch weighs is an upper estimate of its value's
size, so that a sealed value fits the broker's largest message.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol

from schemas.controls import MINUTE
from tally.producer.events import UsageEvent, read_json

Packing = Literal["json", "ndjson", "arrow"]
"""`json`: an event a record. `ndjson`: a line an event. `arrow`: a stream of columns, the least work for both sides."""

Tally = dict[tuple[str, int], tuple[int, int]]
"""(events, quantity) by category and minute of event time."""

MAX_ATTRIBUTES: Final = 64
"""Different names among the attributes of one Arrow stream: each is a column of every row."""
_ROW: Final = 64
"""Bytes of an Arrow row beside its texts: six numbers, offsets and indexes, and its share of the framing."""
_CELL: Final = 9
"""Bytes of an attribute's cell beside its text."""
_STREAM: Final = 4_096
"""Bytes of an Arrow stream without rows."""
_INT64: Final = 2**63


class Batch(Protocol):
    """Events of one partition on their way into one record."""

    tally: Tally
    events: int
    size: int
    """An upper estimate of the value's bytes."""

    def takes(self, event: UsageEvent) -> bool:
        """Say whether the event can be in one value with those that are there."""
        ...

    def add(self, event: UsageEvent, line: bytes) -> None:
        """Add an event; `line` is its JSON."""
        ...

    def value(self) -> bytes:
        """Return the record's value."""
        ...


class Lines:
    """Lines of JSON; one event is a JSON object of its own."""

    def __init__(self) -> None:
        self.tally: Tally = {}
        self.events = 0
        self.size = 0
        self._lines: list[bytes] = []

    def takes(self, event: UsageEvent) -> bool:
        """Say that any event may stand on the next line."""
        del event
        return True

    def add(self, event: UsageEvent, line: bytes) -> None:
        """Add an event by its JSON."""
        self._lines.append(line)
        self.size += len(line) + 1
        self.events += 1
        count(self.tally, event)

    def value(self) -> bytes:
        """Return the lines."""
        return b"\n".join(self._lines)


class Columns:
    """An Arrow IPC stream of the native fields; of an event's JSON only the length matters, and only with attributes.

    Attributes are a struct with a column a name, so a name has one type within a stream.
    """

    def __init__(self, source: str) -> None:
        self.tally: Tally = {}
        self.events = 0
        self.size = _STREAM
        self._source = source
        self._rows: list[UsageEvent] = []
        self._kinds: dict[str, type] = {}

    def takes(self, event: UsageEvent) -> bool:
        """Say whether the attributes fit those that are there: not too many names, and one type a name."""
        attributes = event.attributes
        if not attributes or not self._rows:
            return True
        kinds = self._kinds
        new = 0
        for name, value in attributes.items():
            known = kinds.get(name)
            if known is None:
                new += 1
            elif known is not type(value):
                return False
        return len(kinds) + new <= MAX_ATTRIBUTES

    def add(self, event: UsageEvent, line: bytes) -> None:
        """Add an event."""
        attributes = event.attributes
        if attributes:
            for name, value in attributes.items():
                if name not in self._kinds:
                    self._kinds[name] = type(value)
                    self.size += (self.events + 1) * _CELL + 4 * len(name) + 256
            self.size += len(line)
        self._rows.append(event)
        self.size += _ROW + 4 * len(event.event_id) + _CELL * len(self._kinds)
        self.events += 1
        count(self.tally, event)

    def value(self) -> bytes:
        """Return the stream."""
        import pyarrow as pa  # noqa: PLC0415 - 0.3 s that a producer of JSON need not wait

        ids, orgs, categories, quantities, stamps, projects, attributes = zip(*self._rows, strict=True)
        names = {name: place for place, name in enumerate(dict.fromkeys(categories))}
        n = len(self._rows)
        columns = {
            "event_id": pa.array(ids, pa.string()),
            "org_id": pa.array(orgs, pa.int64()),
            "project_id": pa.array(projects, pa.int64()),
            "category": _dictionary([names[category] for category in categories], list(names)),
            "quantity": pa.array(quantities, pa.int64()),
            "timestamp": pa.array(stamps, pa.int64()).view(pa.timestamp("us", tz="UTC")),
            "source": _dictionary([0] * n, [self._source]),
        }
        if self._kinds:
            types = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
            fields = [pa.field(name, types[kind]) for name, kind in self._kinds.items()]
            rows = [dict(found) if found else None for found in attributes]
            columns["attributes"] = pa.array(rows, pa.struct(fields))
        batch = pa.RecordBatch.from_pydict(columns)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        value: bytes = sink.getvalue().to_pybytes()
        return value


def _dictionary(places: list[int], names: list[str]) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    return pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), pa.array(names, pa.string()))


def fits_arrow(event: UsageEvent) -> bool:
    """Say whether Arrow's types hold the event's attributes; its JSON is sent where they do not."""
    attributes = event.attributes
    return not attributes or (
        len(attributes) <= MAX_ATTRIBUTES
        and all(type(value) is not int or -_INT64 <= value < _INT64 for value in attributes.values())
    )


def count(tally: Tally, event: UsageEvent) -> None:
    """Count an event into a tally."""
    key = (event.category, event.timestamp - event.timestamp % MINUTE)
    events, quantity = tally.get(key, (0, 0))
    tally[key] = (events + 1, quantity + event.quantity)


def unpack(value: bytes) -> list[UsageEvent]:
    """Return the events of a value that was packed here."""
    if value[:1] != b"\xff":
        return [read_json(line) for line in value.split(b"\n")]
    import pyarrow as pa  # noqa: PLC0415

    with pa.ipc.open_stream(pa.py_buffer(value)) as reader:
        table = reader.read_all()
    stamps = table.column("timestamp").cast(pa.int64())
    rows: list[Mapping[str, Any]] = table.drop_columns(["timestamp", "source"]).to_pylist()
    return [
        UsageEvent(
            row["event_id"],
            row["org_id"],
            row["category"],
            row["quantity"],
            stamp,
            row["project_id"],
            _present(row.get("attributes")),
        )
        for row, stamp in zip(rows, stamps.to_pylist(), strict=True)
    ]


def _present(attributes: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Leave out the names that other rows of the stream have."""
    return None if attributes is None else {name: value for name, value in attributes.items() if value is not None}


def load(packing: Packing) -> None:
    """Load what a packing needs, now: at the end of a process nothing can be loaded any more."""
    if packing == "arrow":
        import pyarrow as pa  # noqa: PLC0415

        pa.array([0], pa.int64())  # looks for pandas, and loads it where it is installed


def batch_of(packing: Packing, source: str) -> Batch:
    """Return an empty batch."""
    return Columns(source) if packing == "arrow" else Lines()
