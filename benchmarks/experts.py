"""Ablation of the gate, part by part: `python -m benchmarks.experts RUN`.

Gates are trained on the same queries about training crystals, each with one part left out, and
scored on all validation crystals (with the options of `cmed_jax.train_gate`). Fixed rules without
training are scored as well. Intervals are of the difference from the whole gate over materials.
Solved queries are kept in the run's folder; the run's own gate is not changed.
"""

from collections.abc import Iterator

import numpy as np
import tyro
from jaxtyping import Float
from rich.console import Console
from rich.table import Table

from cmed_jax.cli import run_command
from cmed_jax.evaluation.statistics import format_interval, paired
from cmed_jax.mixture.experts import CRYSTAL_FEATURES, FEATURES
from cmed_jax.mixture.fit import (
    expert_similarities,
    fit_gate,
    mixture_similarities,
    smallest_residual,
)
from cmed_jax.mixture.gate_data import GateExamples
from cmed_jax.train_gate import Options, gathered

WHOLE = "gate"
"""The arm that the others are compared with."""


def without_network(examples: GateExamples) -> GateExamples:
    """Return examples in which the network takes part only where there is no crystal."""
    present = examples.present.copy()
    present[:, 0] = ~present[:, 1:].any(axis=1)
    return examples._replace(present=present)


def without_features(examples: GateExamples, columns: slice) -> GateExamples:
    """Return examples in which some features are zero."""
    features = examples.features.copy()
    features[:, :, columns] = 0
    return examples._replace(features=features)


def arms(options: Options) -> Iterator[tuple[str, Float[np.ndarray, " n"]]]:
    """Yield each arm's name, and the similarity of its densities to the truth."""
    examples, asked = gathered(options)
    each = expert_similarities(asked)
    training = {"steps": options.steps, "batch": options.batch, "seed": options.seed}
    yield WHOLE, mixture_similarities(fit_gate(examples, **training), asked)
    parts = {
        "gate without the network": without_network,
        "gate without volume, distances and freedom": lambda of: without_features(
            of, slice(3, 1 + CRYSTAL_FEATURES)
        ),
        "gate without resemblance": lambda of: without_features(
            of, slice(1 + CRYSTAL_FEATURES, 3 + CRYSTAL_FEATURES)
        ),
        "gate with the kind of expert alone": lambda of: without_features(of, slice(1, FEATURES)),
    }
    for name, part in parts.items():
        yield name, mixture_similarities(fit_gate(part(examples), **training), part(asked))
    yield "smallest residual", smallest_residual(each)
    yield "network alone", each[:, 0]
    yield "best expert (oracle)", each.max(axis=1)


def main() -> int:
    """Run the command."""
    options = tyro.cli(Options, prog="python -m benchmarks.experts")
    table = Table("arm", "SSIM", "- gate (95 %)")
    whole = np.zeros(0)
    for name, found in arms(options):
        whole = found if name == WHOLE else whole
        difference = format_interval(paired(found, whole), "+.4f")
        table.add_row(name, f"{found.mean():.4f}", "" if name == WHOLE else difference)
    Console(width=110).print(table)
    return 0


if __name__ == "__main__":
    run_command(main)
