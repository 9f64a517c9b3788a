"""Success rate of `find_cell` for known cells: `python -m benchmarks.cells --system trigonal`.

The benchmark uses exact densities of embedded materials of a crystal system, and their lines from
10 to 80 degrees of Cu K-alpha. Lines under 1 % of the strongest are left out, and neighbours within
0.12 degrees are joined. The lines have an unknown zero shift of up to 0.08 degrees, errors of 0.01
degrees in position and of 20 % in intensity, and a B factor of 0.3 to 1.5 angstrom^2. Every lattice
type is tried. A cell that is wrong by more than 0.5 % in an edge, or has another lattice type,
counts as not found.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import tyro

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.lattice import PRIMITIVE, cell_parameters
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.density import electron_density
from cmed_jax.physics.patterns import RADIATIONS, powder_lines
from cmed_jax.physics.reflections import reflections
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.solution.cell_search import find_cell, lattice_types_of

GROUPS = {"cubic": range(195, 231), "trigonal": range(143, 168)}
WAVELENGTH = RADIATIONS["CuKa"]
START, STOP = 10.0, 80.0
RIGHT = 0.005


@dataclass(frozen=True)
class Options:
    """Search for the cells of exact densities.

    Attributes:
        system: crystal system.
        materials: number of materials, drawn at random.
        seed: seed of the draw and of the errors.
    """

    system: Literal["cubic", "trigonal"] = "cubic"
    materials: int = 30
    seed: int = 0


def measured_lines(crystal: Crystal, rng: np.random.Generator) -> MeasuredLines:
    """Return simulated lines with the errors of a measurement."""
    s_max = 2 * np.sin(np.radians(STOP) / 2) / WAVELENGTH
    angle, strength = powder_lines(
        reflections(crystal, s_max=s_max, b_factor=rng.uniform(0.3, 1.5)), WAVELENGTH
    )
    inside = angle > START
    seen = inside & (strength > 0.01 * strength[inside].max())
    angle, strength = angle[seen], strength[seen]
    line = np.cumsum(np.diff(angle, prepend=angle[0]) > 0.12)
    area = np.bincount(line, strength)
    centre = np.bincount(line, strength * angle) / area
    shift = rng.uniform(-0.08, 0.08) + rng.normal(0, 0.01, len(centre))
    area *= np.exp(rng.normal(0, 0.2, len(area)))
    return MeasuredLines(centre + shift, area, START, STOP, WAVELENGTH)


def main() -> None:
    """Run the command."""
    options = tyro.cli(Options)
    rng = np.random.default_rng(options.seed)
    known = [each for each in open_source() if isinstance(each, Material)]
    known = [each for each in known if each.space_group in GROUPS[options.system]]
    found = 0
    for row in rng.permutation(len(known))[: options.materials]:
        material = canonical_cell(known[row])
        crystal = Crystal.of(material.lattice, material.numbers, material.frac_coords)
        (lattice_type,) = lattice_types_of([material.space_group])
        conventional = np.linalg.inv(PRIMITIVE[lattice_type[-1]].T) @ material.lattice
        truth = cell_parameters(conventional)
        cells = find_cell(electron_density(crystal), measured_lines(crystal, rng))
        best = cells[0] if cells else None
        right = (
            best is not None
            and best.lattice_type == lattice_type
            and np.abs(best.parameters / truth - 1).max() <= RIGHT
        )
        found += right
        if not right:
            said = "none" if best is None else f"{best.lattice_type} {best.parameters[[0, 2]]}"
            print(f"{material.material_id} {lattice_type} {truth[[0, 2]]}: {said}", flush=True)
    print(f"{found} of {options.materials} {options.system} cells found")


if __name__ == "__main__":
    main()
