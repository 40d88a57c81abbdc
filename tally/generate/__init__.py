"""`tally generate`: deterministic, realistic traffic with its exact expected totals.

    spec = TrafficSpec(events=1_000_000, seed=7, duplicates=0.01)
    expected = generate_file(Path("events.ndjson"), spec)
    expected.compare(rows, by="day")        # [] when what was metered is what was sent

The same spec and version of this package give the same bytes, on any machine. To Kafka: `tally.generate.topic`.
"""

from tally.generate.expected import Difference, Expected, Sum, expected_path
from tally.generate.files import generate_file, generate_folder
from tally.generate.spec import TrafficSpec

__all__ = ["Difference", "Expected", "Sum", "TrafficSpec", "expected_path", "generate_file", "generate_folder"]
