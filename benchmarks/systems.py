"""A network alone, by crystal system: `python -m benchmarks.systems RUN --data DIR`.

Every test material is answered by the network, with its cell given and known crystals recalled from
the training split, and by copying the density of the most similar of these in reflections. Controls
are the density as the network decodes it, the pattern of another material, and the network without
known crystals. Plain SSIM, in the mean with its interval; the last column is the paired lead over
the copy. Training densities are made when they are asked for, so that a dataset of all crystal
systems fits into the memory (`python -m cmed_jax.evaluate` loads them).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from jaxtyping import Float
from rich.console import Console
from rich.table import Table

from cmed_jax.crystal.material import CRYSTAL_SYSTEMS, crystal_system
from cmed_jax.data.dataset import load_compact_examples, load_examples, load_structures
from cmed_jax.data.examples import Examples
from cmed_jax.data.memory import Memory
from cmed_jax.data.query import Generator, Query, full_query
from cmed_jax.data.records import density_of
from cmed_jax.evaluation.controls import wrong_pattern
from cmed_jax.evaluation.scoring import evaluate
from cmed_jax.evaluation.statistics import figures, format_interval, paired
from cmed_jax.model.generator import network_generator
from cmed_jax.prediction.restore import restore
from cmed_jax.training.lineage import warn_of_seen


@dataclass(frozen=True)
class Options:
    """Score a network alone on each crystal system of a dataset.

    Attributes:
        run: a run's folder, a checkpoint inside it, or a released network.
        data: directory of the dataset.
        split: the split that is scored.
        every: take every n-th material of each system.
        systems: the crystal systems.
    """

    run: tyro.conf.Positional[str]
    data: Path
    split: str = "test"
    every: int = 1
    systems: tuple[str, ...] = tuple(CRYSTAL_SYSTEMS)


def main() -> None:
    """Print a row for each crystal system."""
    options = tyro.cli(Options, prog="python -m benchmarks.systems")
    restored = restore(options.run, alone=True)
    assert restored.domain is not None
    memory = Memory.of(load_compact_examples(options.data, "train"))
    structures = list(load_structures(options.data, "train"))
    examples = load_examples(options.data, options.split)
    shape, b_factor = examples.density.shape[1:], restored.domain.b_factor
    systems = by_system(examples, options)
    scored = [name for _, part in systems for name in part.material_id.tolist()]
    warn_of_seen(options.run, restored.config, options.data, scored)

    def copied(query: Query) -> Float[np.ndarray, "b 1 na nb nc"]:
        rows, _ = memory.nearest(query, 1)
        return np.stack([density_of(structures[row])[None] for row in rows[:, 0]])

    def asked(memory: Memory | None, b_factor: float | None) -> Generator:
        return network_generator(restored.network, shape, memory=memory, b_factor=b_factor)

    entrants = {
        "network": (asked(memory, b_factor), full_query),
        "nearest in reflections": (copied, full_query),
        "as decoded": (asked(memory, None), full_query),
        "wrong pattern": (asked(memory, b_factor), wrong_pattern),
        "no known crystals": (asked(None, b_factor), full_query),
    }
    table = Table("system", "materials", *entrants, "lead")
    for system, part in systems:
        found = {
            name: evaluate(generator, part, control=control).plain["ssim"]
            for name, (generator, control) in entrants.items()
        }
        network, copy, *_ = found.values()
        shown = [format_interval(figures(values), ".3f") for values in found.values()]
        lead = format_interval(paired(network, copy), "+.3f")
        table.add_row(system, str(len(part)), *shown, lead)
        print(system, len(part), *shown, lead, flush=True)
    Console(width=200).print(table)


def by_system(examples: Examples, options: Options) -> list[tuple[str, Examples]]:
    """Return the materials of each crystal system that has some."""
    systems = np.array([crystal_system(int(group)) for group in examples.space_group])
    rows = {name: np.flatnonzero(systems == name)[:: options.every] for name in options.systems}
    return [(name, examples.rows(each)) for name, each in rows.items() if len(each)]


if __name__ == "__main__":
    main()
