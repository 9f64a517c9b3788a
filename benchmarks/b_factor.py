"""The effect of the B factor on the densities of records: `python benchmarks/b_factor.py`.

A density on 50 x 50 x 50 points carries 24 modes on each axis. With a small B the structure factors
continue beyond them. In large cells the density then ripples about zero, and its maxima are too
low. A large B loses detail that small cells could show, such as the height of the maxima above the
space between them.
"""

import numpy as np
from rich.console import Console
from rich.table import Table

from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.records import MAX_VOLUME
from cmed_jax.physics import Crystal, density_at, electron_density
from cmed_jax.physics.density import truncation

B_FACTORS = (0.5, 1.0, 2.0, 4.0, 6.0, 8.0)
EACH = 12
"""The number of materials of each size."""


def ends() -> dict[str, list[Crystal]]:
    """Return the embedded crystals of the smallest cells, of the median, and of the largest."""
    found = (item for item in open_source(None) if not isinstance(item, Refusal))
    ordered = sorted((m for m in found if m.volume < MAX_VOLUME), key=lambda m: m.volume)
    middle = (len(ordered) - EACH) // 2
    parts = {"smallest": 0, "median": middle, "largest": len(ordered) - EACH}
    return {name: [_crystal(m) for m in ordered[i : i + EACH]] for name, i in parts.items()}


def _crystal(material: Material) -> Crystal:
    return Crystal.of(material.lattice, material.numbers, material.frac_coords)


def ripple(crystal: Crystal, b_factor: float) -> float:
    """Return the depth of the lowest value, as a share of the highest."""
    density = electron_density(crystal, b_factor=b_factor)
    return float(max(-density.min(), 0) / density.max())


def height(crystal: Crystal, b_factor: float) -> float:
    """Return the density at the heaviest atom by the series, as a share of the direct sum."""
    heaviest = np.argmax(crystal.species @ crystal.occupancy)
    there = crystal.frac_coords[heaviest]
    at_origin = crystal._replace(frac_coords=crystal.frac_coords - there)
    exact = density_at(at_origin, np.zeros((1, 3)), b_factor=b_factor)
    return float(electron_density(at_origin, b_factor=b_factor)[0, 0, 0] / exact[0])


def contrast(crystal: Crystal, b_factor: float) -> float:
    """Return the highest value over the mean."""
    density = electron_density(crystal, b_factor=b_factor)
    return float(density.max() / density.mean())


def main() -> None:
    """Print means over the crystals of each size."""
    measures = {
        "left at the first mode not carried": lambda c, b: truncation(
            c.lattice, c.species, b_factor=b
        ),
        "ripple / maximum": ripple,
        "height at an atom / exact": height,
        "maximum / mean": contrast,
    }
    for name, crystals in ends().items():
        volume = np.mean([abs(np.linalg.det(crystal.lattice)) for crystal in crystals])
        title = f"the {len(crystals)} {name} cells, mean {volume:.0f} angstrom^3"
        table = Table("B, angstrom^2", *(f"{b:g}" for b in B_FACTORS), title=title)
        for label, measure in measures.items():
            means = (np.mean([measure(c, b) for c in crystals]) for b in B_FACTORS)
            table.add_row(label, *(f"{mean:.3g}" for mean in means))
        Console().print(table)


if __name__ == "__main__":
    main()
