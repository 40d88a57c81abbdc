"""Produce the events of a file to a topic: a message a line, or Arrow batches of the same events in the same order.

python -m benchmarks.fill FILE HOST:PORT TOPIC [--arrow EVENTS]
"""

import argparse
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
from confluent_kafka import KafkaError, Message, Producer
from pyarrow import json as arrow_json

FIELDS: Final = pa.schema(
    [
        ("event_id", pa.string()),
        ("org_id", pa.int64()),
        ("project_id", pa.int64()),
        ("category", pa.string()),
        ("quantity", pa.int64()),
        ("timestamp", pa.timestamp("ms", "UTC")),
    ]
)
BLOCK: Final = 16 << 20


def lines(path: Path) -> Iterator[bytes]:
    """Return the file's lines without their ends."""
    with path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\n")


def streams(path: Path, events: int) -> Iterator[bytes]:
    """Return Arrow IPC streams of so many events each; the last may have fewer."""
    read = arrow_json.ReadOptions(block_size=BLOCK)
    parse = arrow_json.ParseOptions(explicit_schema=FIELDS, unexpected_field_behavior="error")
    table = arrow_json.read_json(str(path), read, parse).combine_chunks()
    for batch in table.to_batches(max_chunksize=events):
        out = io.BytesIO()
        with pa.ipc.new_stream(out, FIELDS) as writer:
            writer.write_batch(batch)
        yield out.getvalue()


def main() -> None:
    """Fill the topic and wait until the broker has it all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fill")
    parser.add_argument("file", type=Path)
    parser.add_argument("broker")
    parser.add_argument("topic")
    parser.add_argument("--arrow", type=int, metavar="EVENTS")
    chosen = parser.parse_args()
    lost: list[str] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            lost.append(str(error))

    producer = Producer(
        {
            "bootstrap.servers": chosen.broker,
            "enable.idempotence": True,  # in order and once, or not at all
            "compression.type": "lz4",
            "linger.ms": 20,
            "batch.num.messages": 10_000,
            "message.max.bytes": 10_000_000,
            "queue.buffering.max.messages": 1_000_000,
            "delivery.report.only.error": True,
            "on_delivery": delivered,
        }
    )
    for value in streams(chosen.file, chosen.arrow) if chosen.arrow else lines(chosen.file):
        while True:
            try:
                producer.produce(chosen.topic, value, partition=0)
                break
            except BufferError:
                producer.poll(0.05)
    unsent = producer.flush(120)
    if unsent or lost:
        raise SystemExit(f"{unsent} messages were not sent, {len(lost)} were lost: {lost[:1]}")


if __name__ == "__main__":
    main()
