"""Crystals for the tests: embedded ones of all seven systems, and some in difficult cells."""

import gzip
import json
from pathlib import Path
from typing import NamedTuple

import gemmi
import jax
import numpy as np
import pytest
import spglib

import cmed_jax
from cmed_jax.physics.crystal import Crystal, stack

EMBEDDED = Path(cmed_jax.__file__).parent / "crystal" / "embedded" / "oc20_bulks.jsonl.gz"
LAST_GROUP = {
    "triclinic": 2, "monoclinic": 15, "orthorhombic": 74, "tetragonal": 142,
    "trigonal": 167, "hexagonal": 194, "cubic": 230,
}  # fmt: skip

spglib.error.OLD_ERROR_HANDLING = False  # errors are raised, as they always are from spglib 3 on


class Atoms(NamedTuple):
    """The arguments of `Crystal.of`: rows a, b, c (angstrom), atomic numbers, coordinates."""

    lattice: np.ndarray
    numbers: np.ndarray
    frac_coords: np.ndarray


ROCK_SALT = Atoms(
    5.64 * np.eye(3),
    np.array([11] * 4 + [17] * 4),
    np.array(
        [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    )
    / 2,
)
WURTZITE = Atoms(
    np.array([[3.25, 0, 0], [-1.625, 1.625 * 3**0.5, 0], [0, 0, 5.21]]),
    np.array([30, 30, 8, 8]),
    np.array([[1, 2, 0], [2, 1, 1.5], [1, 2, 1.146], [2, 1, 2.646]]) / 3,
)
OBLIQUE = Atoms(  # angles of 51, 64 and 122 degrees
    np.array([[3.9, 0.4, -0.2], [-2.1, 4.4, 0.3], [2.2, 1.5, 4.1]]),
    np.array([51, 16, 16, 9, 1, 1]),
    np.random.default_rng(7).random((6, 3)),
)
ONE_ATOM = Atoms(3.3 * np.eye(3), np.array([84]), np.zeros((1, 3)))


@pytest.fixture(
    params=[ROCK_SALT, WURTZITE, OBLIQUE, ONE_ATOM], ids=["cubic", "hexagonal", "oblique", "atom"]
)
def crystal(request) -> Atoms:
    return request.param


@pytest.fixture
def padded(crystal) -> Crystal:
    """The crystal at one size for all four, so that a program serves all of them."""
    return jax.tree.map(lambda x: x[0], stack([Crystal.of(*crystal)], least=8))


@pytest.fixture(scope="session")
def sample() -> dict[str, list[Atoms]]:
    """Three embedded materials of each crystal system, in their standard primitive cells."""
    with gzip.open(EMBEDDED, "rt") as file:
        rows = [json.loads(line) for line in file]
    chosen = {system: [] for system in LAST_GROUP}
    for i in np.random.default_rng(0).permutation(len(rows)):
        system = next(s for s, last in LAST_GROUP.items() if rows[i]["space_group"] <= last)
        small = abs(np.linalg.det(rows[i]["lattice"])) < 130
        if small and len(chosen[system]) < 3:
            chosen[system].append(standard_primitive(rows[i]))
    return chosen


def standard_primitive(row: dict) -> Atoms:
    numbers = [gemmi.Element(symbol).atomic_number for symbol in row["species"]]
    cell = (row["lattice"], row["frac_coords"], numbers)
    lattice, coords, numbers = spglib.standardize_cell(cell, to_primitive=True, symprec=0.1)
    return Atoms(lattice, numbers, coords)
