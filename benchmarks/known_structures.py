"""Statistics of known crystals: `python -m benchmarks.known_structures --materials FILE`.

The command writes the tables of `cmed_jax/crystal/embedded` that guide the search for structures,
from crystals of at most 20 atoms in the primitive cell. The tables in the package are of the
embedded crystals and of every sixth of the Materials Project's (version 2023.11.1, CC BY 4.0) that
is in a training split (`--materials all.jsonl.gz --every 6`). Held-out materials are not used.

- `shortest_distances.csv`: the shortest distance of each pair of elements, in angstrom, as the 1 %
  quantile over crystals;
- `nearest_neighbours.csv`: the distance from each element to a nearest neighbour of each element;
- `wyckoff_usage.csv`: the number of crystals of each space group, and the number of orbits on each
  of its positions, in the order of `cmed_jax.search.wyckoff`. Positions that the normalizer
  exchanges are counted together.
"""

import csv
import itertools
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import tyro

import cmed_jax.crystal
from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.composition import SYMBOLS
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source
from cmed_jax.search.wyckoff import position_of, wyckoff

FOLDER = Path(cmed_jax.crystal.__file__).parent / "embedded"
ATOMS = 20
LEAST_SEEN = 3
_CELLS = np.array(list(itertools.product((-1, 0, 1), repeat=3)))


@dataclass(frozen=True)
class Options:
    """Gather statistics of known crystals.

    Attributes:
        materials: sources beside the embedded crystals; only their training splits are used.
        every: step between the materials of these sources that are used.
    """

    materials: tuple[str, ...] = ()
    every: int = 1


def main() -> None:
    """Run the command."""
    options = tyro.cli(Options)
    distances, neighbours = defaultdict(list), defaultdict(list)
    usage = {number: np.zeros(len(wyckoff(number).positions), int) for number in range(1, 231)}
    crystals = np.zeros(231, int)
    for material in known(options):
        count_distances(material, distances, neighbours)
        crystals[material.space_group] += 1
        count_positions(material, usage[material.space_group])
    write(
        "shortest_distances.csv",
        ("first", "second", "crystals", "least"),
        (
            (SYMBOLS[a], SYMBOLS[b], len(each), f"{np.quantile(each, 0.01):.3f}")
            for (a, b), each in sorted(distances.items())
            if len(each) >= LEAST_SEEN
        ),
    )
    write(
        "nearest_neighbours.csv",
        ("element", "neighbour", "sites", "median", "deviation"),
        (
            (SYMBOLS[a], SYMBOLS[b], len(each), f"{np.median(each):.3f}", f"{np.std(each):.3f}")
            for (a, b), each in sorted(neighbours.items())
            if len(each) >= LEAST_SEEN
        ),
    )
    write(
        "wyckoff_usage.csv",
        ("space_group", "crystals", "orbits"),
        ((n, crystals[n], " ".join(map(str, pooled(n, usage[n])))) for n in usage),
    )


def known(options: Options) -> Iterable[Material]:
    """Yield the crystals with small enough cells, in their canonical cells."""
    others = (islice(open_source(path), 0, None, options.every) for path in options.materials)
    for each in itertools.chain(open_source(), *others):
        if not isinstance(each, Material) or each.split not in (None, "train"):
            continue
        if len(each.numbers) <= 4 * ATOMS:
            with suppress(ValueError):  # no symmetry was found
                material = canonical_cell(each)
                if len(material.numbers) <= ATOMS:
                    yield material


def count_distances(material: Material, distances: dict, neighbours: dict) -> None:
    """Record the shortest distance of each pair of elements, and each atom's nearest neighbour."""
    gaps = material.frac_coords[:, None] - material.frac_coords
    gaps -= np.rint(gaps)
    lengths = np.linalg.norm((gaps[:, :, None] + _CELLS) @ material.lattice, axis=-1)
    lengths[lengths < 1e-3] = np.inf
    lengths = lengths.min(axis=-1)
    shortest: dict[tuple[int, int], float] = {}
    for i, j in itertools.combinations_with_replacement(range(len(lengths)), 2):
        pair = tuple(sorted((int(material.numbers[i]), int(material.numbers[j]))))
        shortest[pair] = min(shortest.get(pair, np.inf), lengths[i, j])
    for pair, length in shortest.items():
        distances[pair].append(length)
    nearest = lengths.argmin(axis=1)
    rows = zip(
        material.numbers, material.numbers[nearest], lengths.min(axis=1).round(3), strict=True
    )
    for a, b, length in {(int(a), int(b), float(length)) for a, b, length in rows}:
        neighbours[a, b].append(length)


def count_positions(material: Material, counts: np.ndarray) -> None:
    """Add the orbits of a crystal to those of its space group."""
    group = wyckoff(material.space_group)
    atoms = np.zeros(len(counts), int)
    for coords in material.frac_coords:
        atoms[position_of(group, coords - group.origin)] += 1
    counts += atoms // [position.multiplicity for position in group.positions]


def pooled(number: int, counts: np.ndarray) -> np.ndarray:
    """Return, for each position, the orbits of all positions that the normalizer exchanges."""
    equivalent = wyckoff(number).equivalent
    return np.array([counts[np.unique(equivalent[:, k])].sum() for k in range(len(counts))])


def write(name: str, header: tuple[str, ...], rows: Iterable[tuple]) -> None:
    """Write a table."""
    with (FOLDER / name).open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
