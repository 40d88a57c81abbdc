"""How unequal partitions become when organisations are: a simulation of keys, with and without salting.

A partition is read by one worker, so the largest partition decides how many workers can help. An organisation's events
go to one partition (its retries must meet them there), unless it is salted: then its events are keyed by organisation
and event id, and spread evenly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Final

from tally.generate.profile import zipf_weights

SALTED_SHARE: Final = 4
"""An organisation is salted when it has more than 1 / (this × partitions) of the traffic."""


@dataclass(frozen=True, slots=True)
class Skew:
    """The outcome: how many organisations are salted, and the largest partition against the mean one.

    `workers_in_use`: total ÷ largest partition, the number of cores that the load can keep busy at the most.
    """

    partitions: int
    organisations: int
    salted: int
    largest_over_mean: Decimal
    workers_in_use: Decimal


def sizes(organisations: int, zipf: Decimal) -> list[int]:
    """Return the relative sizes of organisations, largest first: they fall as 1 / rank ** zipf."""
    return zipf_weights(organisations, float(zipf))


def simulate(weights: Sequence[int], partitions: int, *, salting: bool, seed: int = 1) -> Skew:
    """Place organisations of these sizes on partitions by a hash of their number. Deterministic for a seed."""
    whole = sum(weights)
    bound = whole // (SALTED_SHARE * partitions)
    loads = [0] * partitions
    salted = spread = 0
    for org, weight in enumerate(weights, 1):
        if salting and weight > bound:
            salted += 1
            spread += weight
        else:
            loads[_partition(org, partitions, seed)] += weight
    largest = max(loads) * partitions + spread
    return Skew(
        partitions,
        len(weights),
        salted,
        _hundredths(largest, whole),
        _hundredths(whole * partitions, largest),
    )


def _partition(org: int, partitions: int, seed: int) -> int:
    digest = blake2b(org.to_bytes(8, "little"), digest_size=8, salt=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little") % partitions


def _hundredths(numerator: int, denominator: int) -> Decimal:
    return Decimal(numerator * 100 // denominator) / 100
