"""A network alone in cells that it finds: `python -m benchmarks.found_cells RUN --data DIR`.

For evenly spaced test materials the lines of the ideal pattern (Mo K-alpha) and the formula are
given, and no cell. The cell is found as for a measured file (`cmed_jax.prediction.cells`), but
without known crystals that explain the pattern: the lines are indexed, and the network is asked in
the most plausible cells. The network recalls crystals of the dataset's training split alone.
Printed for each crystal system are the share of right cells (edges and angles within 0.5 %), the
plain SSIM in the cell that was found and in the given one, and the seconds of one material.

`--patterns FOLDER --materials FILES` asks about the measured files of a folder's manifest.csv in
the same way. The network then recalls the embedded crystals. Printed for each file are whether the
cell is right, and the SSIM with the independent-atom density of the known structure.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from jaxtyping import Float
from rich.console import Console
from rich.table import Table

from benchmarks.measured_predictions import independent_atoms, structures, verdict_of
from benchmarks.patterns import listed_patterns
from cmed_jax.cli import run_command
from cmed_jax.crystal.composition import format_composition
from cmed_jax.crystal.lattice import cell_parameters
from cmed_jax.crystal.material import crystal_system
from cmed_jax.data.dataset import load_compact_examples, load_examples, read_records
from cmed_jax.data.embedded_memory import recall_embedded
from cmed_jax.data.examples import Examples
from cmed_jax.data.memory import Memory
from cmed_jax.data.query import Generator, full_query
from cmed_jax.evaluation.metrics import ssim
from cmed_jax.evaluation.statistics import bootstrap_interval
from cmed_jax.model.generator import network_generator
from cmed_jax.model.network import Network
from cmed_jax.physics.density import GRID
from cmed_jax.physics.patterns import MO_K_ALPHA, powder_lines
from cmed_jax.prediction.cells import find_cells
from cmed_jax.prediction.options import PredictionOptions
from cmed_jax.prediction.query import Pattern, PredictionQuery
from cmed_jax.prediction.restore import restore
from cmed_jax.training.lineage import warn_of_seen

RIGHT = 0.005
"""The largest relative error of a cell that counts as right."""
REACH = 80.0
"""The largest two-theta of the lines, degrees of Mo K-alpha."""
LINES = 120
"""The number of lines that are given, the strongest ones."""


@dataclass(frozen=True)
class Options:
    """Find the cells of materials from their lines, and predict their densities.

    Attributes:
        run: a run's folder, a checkpoint inside it, or a released network.
        data: directory of the dataset, which holds the training and the test materials.
        split: the split that is scored.
        most: number of materials of each crystal system, evenly spaced.
        patterns: a folder with `manifest.csv` and the measured files that it names.
        materials: files of JSON lines with the known structures of these files.
    """

    run: Annotated[Path, tyro.conf.Positional]
    data: Path | None = None
    split: str = "test"
    most: int = 40
    patterns: Path | None = None
    materials: tuple[Path, ...] = ()

    def __post_init__(self):
        if (self.data is None) == (self.patterns is None):
            raise ValueError("give either --data or --patterns")


def main(args: list[str] | None = None) -> None:
    """Print the table."""
    options = tyro.cli(Options, args=args, prog="python -m benchmarks.found_cells")
    restored = restore(options.run, alone=True)
    network = restored.network
    if options.data is not None:
        asked = by_system(load_examples(options.data, options.split), options.most)
        scored = [name for _, some in asked for name in some.material_id.tolist()]
        warn_of_seen(options.run, restored.config, options.data, scored)
        table = of_materials(network, options.data, options.split, asked)
    else:
        assert options.patterns is not None
        table = of_files(network, options.patterns, options.materials)
    Console(width=100).print(table)


def by_system(examples: Examples, most: int) -> list[tuple[str, Examples]]:
    """Return some evenly spaced materials of each crystal system."""
    systems = np.array([crystal_system(group) for group in examples.space_group.tolist()])
    rows = {name: np.flatnonzero(systems == name) for name in sorted(set(systems.tolist()))}
    return [(name, examples.rows(each).evenly_spaced(most)) for name, each in rows.items()]


def of_materials(
    network: Network, data: Path, split: str, asked: list[tuple[str, Examples]]
) -> Table:
    """Return the table of the crystal systems of a dataset."""
    memory = Memory.of(load_compact_examples(data, "train"))
    generator = network_generator(network, GRID, memory=memory)
    stored = {
        record["material_id"].decode(): record["reflections"]
        for record in read_records(data, split)
    }
    table = Table("system", "n", "right cells", "SSIM, cell found", "SSIM, cell given", "seconds")
    for system, some in asked:
        given = np.asarray(generator(full_query(some)))[:, 0]
        found, right, began = [], [], time.perf_counter()
        for row, name in enumerate(some.material_id.tolist()):
            formula = format_composition(some.composition[row])
            density, lattice = _predicted(generator, _lines(stored[name]), formula, MO_K_ALPHA)
            found.append(density)
            right.append(lattice is not None and _same(lattice, some.lattice[row]))
        seconds = (time.perf_counter() - began) / len(some)
        truths = some.densities(slice(None))
        own, their = (np.asarray(ssim(truths, each)) for each in (np.stack(found), given))
        table.add_row(
            system, str(len(some)), f"{np.mean(right):.0%}", _figure(own), _figure(their),
            f"{seconds:.1f}",
        )  # fmt: skip
    return table


def of_files(network: Network, patterns: Path, materials: tuple[Path, ...]) -> Table:
    """Return the table of the measured files of a folder whose structure is known."""
    generator = network_generator(network, GRID, memory=recall_embedded)
    listed = listed_patterns(patterns)
    truths = structures(materials, {known.mp_id for known in listed})
    table = Table("file", "formula", "right cell", "SSIM")
    for known in listed:
        if (truth := truths.get(known.mp_id)) is None:
            continue
        density, lattice = _predicted(generator, known.path, known.formula, known.wavelength)
        score = float(ssim(independent_atoms(truth)[None], density[None])[0])
        table.add_row(known.path.stem, known.formula, verdict_of(lattice, known), f"{score:.3f}")
    return table


def _lines(
    reflections: Float[np.ndarray, "m 2"],
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Return two-theta and intensity of the strongest lines, the strongest 100."""
    angle, strength = powder_lines(reflections, MO_K_ALPHA)
    used = angle < REACH
    angle, strength = angle[used], strength[used]
    strongest = np.sort(np.argsort(-strength, kind="stable")[:LINES])
    return angle[strongest], 100 * strength[strongest] / strength.max()


def _predicted(
    generator: Generator, pattern: Pattern, formula: str | None, wavelength: float
) -> tuple[Float[np.ndarray, "a b c"], Float[np.ndarray, "3 3"] | None]:
    """Return the density in the cell that is found, and that cell; None where there is none."""
    asked = PredictionOptions(wavelength=str(wavelength), cell="auto")
    query = PredictionQuery.of(pattern, formula, asked, as_measured=False)

    def ask(lattices: Sequence[Float[np.ndarray, "3 3"]]) -> Float[np.ndarray, "c a b d"]:
        return np.asarray(generator(query.in_cells(lattices)))[:, 0]

    cells = find_cells(query, (), ask)
    lattice = cells[0].lattice if cells else None
    return np.asarray(generator(query.in_cells([lattice])))[0, 0], lattice


def _same(lattice: Float[np.ndarray, "3 3"], truth: Float[np.ndarray, "3 3"]) -> bool:
    return bool(np.allclose(cell_parameters(lattice), cell_parameters(truth), rtol=RIGHT))


def _figure(values: Float[np.ndarray, " n"]) -> str:
    low, high = bootstrap_interval(values)
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    run_command(main)
