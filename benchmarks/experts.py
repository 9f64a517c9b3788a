"""What the gate learns, part by part: `python -m benchmarks.experts RUN`.

Gates are trained on the same questions about training crystals, with a part left out in turn, and
asked about all validation crystals (`cmed_jax.train_gate`, whose options this command takes).
Beside them stand rules that learn nothing. Intervals are of the difference to the whole gate over
materials. What is solved is kept in the run's folder; the run's own gate stays as it is.
"""

from collections.abc import Iterator

import numpy as np
import tyro
from jaxtyping import Float
from rich.console import Console
from rich.table import Table

from cmed_jax.cli import run_command
from cmed_jax.evaluation.statistics import paired, spread
from cmed_jax.mixture.experts import FEATURES, OF_CRYSTAL
from cmed_jax.mixture.fit import fitted, of_experts, of_mixtures, smallest_residual
from cmed_jax.mixture.gate_data import Lessons
from cmed_jax.train_gate import Options, gathered

WHOLE = "gate"
"""What the others are compared with."""


def without_network(lessons: Lessons) -> Lessons:
    """Let the network answer only where no crystal does."""
    present = lessons.present.copy()
    present[:, 0] = ~present[:, 1:].any(axis=1)
    return lessons._replace(present=present)


def without_features(lessons: Lessons, columns: slice) -> Lessons:
    """Tell the gate nothing of some features."""
    features = lessons.features.copy()
    features[:, :, columns] = 0
    return lessons._replace(features=features)


def arms(options: Options) -> Iterator[tuple[str, Float[np.ndarray, " n"]]]:
    """Yield each arm's name, and the similarity of its answers to the truth."""
    lessons, asked = gathered(options)
    each = of_experts(asked)
    training = {"steps": options.steps, "batch": options.batch, "seed": options.seed}
    yield WHOLE, of_mixtures(fitted(lessons, **training), asked)
    parts = {
        "gate without the network": without_network,
        "gate told nothing of volume, distances and freedom": lambda of: without_features(
            of, slice(3, 1 + OF_CRYSTAL)
        ),
        "gate told nothing of resemblance": lambda of: without_features(
            of, slice(1 + OF_CRYSTAL, 3 + OF_CRYSTAL)
        ),
        "gate told nothing but who answers": lambda of: without_features(of, slice(1, FEATURES)),
    }
    for name, part in parts.items():
        yield name, of_mixtures(fitted(part(lessons), **training), part(asked))
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
        difference = spread(paired(found, whole), "+.4f")
        table.add_row(name, f"{found.mean():.4f}", "" if name == WHOLE else difference)
    Console(width=110).print(table)
    return 0


if __name__ == "__main__":
    run_command(main)
