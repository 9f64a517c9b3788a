"""Small crystals of known types, and splits that are made of them."""

import numpy as np
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.material import Material
from cmed_jax.data.examples import Examples, example_of
from cmed_jax.data.records import make_record

ORIGIN, CENTRE, QUARTER = (0, 0, 0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def cubic(group, edge, **sites):
    return Structure.from_spacegroup(group, Lattice.cubic(edge), list(sites), list(sites.values()))


def hexagonal(edge, ratio, symbol):
    lattice = Lattice.hexagonal(edge, ratio * edge)
    return Structure.from_spacegroup("P6_3/mmc", lattice, [symbol], [(1 / 3, 2 / 3, 0.25)])


def pyrite(edge, metal, anion, x):
    return Structure.from_spacegroup(
        "Pa-3", Lattice.cubic(edge), [metal, anion], [ORIGIN, (x, x, x)]
    )


def material(name, structure):
    return Material(
        name,
        structure.lattice.matrix,
        np.array([site.specie.Z for site in structure]),
        structure.frac_coords,
    )


def split(structures):
    """Return the examples and the crystals of a split, made through their records."""
    records = [make_record(material(f"m{i:02d}", s)) for i, s in enumerate(structures)]

    examples = Examples.of([example_of(record) for record in records])
    names = ("material_id", "lattice", "frac_coords", "space_group")
    crystals = [
        Material(numbers=r["species"].astype(int), **{name: r[name] for name in names})
        for r in records
    ]
    return examples, crystals


def nothing(query):
    """A generator of zeros, which shows where substitution found nothing."""
    return np.zeros((len(query.pattern), 1, 50, 50, 50), np.float32)
