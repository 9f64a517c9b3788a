"""The least time of a program on its chips, and the efficiency of many chips, on paper."""

import math
from typing import Any

from benchmarks.accelerators.chips import Topology
from cmed_jax.training.cost import peak_of


def seconds_of_chip(result: dict[str, Any]) -> float:
    """Return the least time of a call without its collectives, seconds.

    That is the time of its operations at the chip's peak, or of its reads and writes at the
    bandwidth of its memory, whichever is longer. Every loop is taken as often as it runs.
    """
    chip = Topology(result["target"]).chip
    peak = peak_of(chip.kind, result["precision"]) or math.nan
    return result["loops"] * max(result["flops"] / peak, result["accessed"] / chip.bandwidth)


def seconds_of_collectives(result: dict[str, Any]) -> float:
    """Return the time of the collectives, seconds.

    An all-reduce of S bytes over n chips sends 2 (n - 1) / n S from each chip, in reduce-scatter
    and all-gather; the others send at most half. All links are taken to be busy, and no operation
    to go on in the meantime. Latency is left out.
    """
    chips, chip = result["chips"], Topology(result["target"]).chip
    sent = sum(
        size * (2 if kind == "all-reduce" else 1) for kind, size in result["collectives"].items()
    )
    return (chips - 1) / chips * sent / chip.interconnect


def seconds(result: dict[str, Any]) -> float:
    """Return the least time of a call with its collectives, seconds."""
    return seconds_of_chip(result) + seconds_of_collectives(result)
