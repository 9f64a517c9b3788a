"""Substituted crystals for training: `python -m benchmarks.ablation.substituted --out FILE`.

In a training crystal some elements are replaced by others. An element is drawn more often the
nearer it is in electronegativity and the more crystals hold it. The cell is scaled to the volumes
of the new atoms (`cmed_jax.crystal.atomic_volumes`). Crystals with the reduced formula and the
space group of a known crystal, held out or not, or of one made before, are left out. FILE holds the
known crystals and then the new ones. The dataset job builds a dataset from it:

    python -m tfds_builders.cmed --config cubic --materials FILE --data_dir DIR
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from jaxtyping import Integer

from cmed_jax.cli import run_command
from cmed_jax.crystal.atomic_volumes import volume_of_atom
from cmed_jax.crystal.canonical import electropositivity
from cmed_jax.crystal.composition import SYMBOLS, composition_vector
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source

NEAR = 10.0
"""The ranks of electronegativity between two elements that lower the probability by a factor e."""
SHARE = 0.5
"""The approximate share of a crystal's elements that are replaced; at least one is."""
MISSES = 1000
"""The number of known crystals in a row after which the search for a new one ends."""


@dataclass(frozen=True)
class Options:
    """Make substituted crystals.

    Attributes:
        out: the file of JSON lines to write.
        materials: source of the known crystals, as for the dataset job.
        system: crystal system.
        number: number of substituted crystals.
        seed: seed of everything that is random.
    """

    out: Path
    materials: str | None = None
    system: str = "cubic"
    number: int = 8000
    seed: int = 0


def substituted(known: Sequence[Material], seed: int) -> Iterator[Material]:
    """Yield training crystals with other elements, none of them known, and none twice.

    Their names hold the crystal system, so that files of several systems can be joined.

    Args:
        known: the crystals of every split; those without a split, or of "train", are changed.
        seed: the seed of everything that is random.
    """
    random = np.random.default_rng(seed)
    training = [material for material in known if material.split in (None, "train")]
    elements, counts = np.unique(
        np.concatenate([np.unique(material.numbers) for material in training]), return_counts=True
    )
    found = {(material.formula, material.space_group) for material in known}
    misses = 0
    while misses < MISSES:
        misses += 1
        prototype = training[random.integers(len(training))]
        crystal = _rescaled(prototype, _other_elements(prototype.numbers, elements, counts, random))
        if crystal is not None and (kind := (crystal.formula, crystal.space_group)) not in found:
            found.add(kind)
            misses = 0
            name = f"substituted-{crystal.crystal_system}-{len(found)}"
            yield replace(crystal, material_id=name)


def _other_elements(
    numbers: Integer[np.ndarray, " n"],
    elements: Integer[np.ndarray, " m"],
    counts: Integer[np.ndarray, " m"],
    random: np.random.Generator,
) -> Integer[np.ndarray, " n"]:
    """Return atomic numbers of a crystal with some elements replaced; all stay distinct."""
    old, place = np.unique(numbers, return_inverse=True)
    new = old.copy()
    replaced = random.random(len(old)) < SHARE
    replaced[random.integers(len(old))] = True
    for i in np.flatnonzero(replaced):
        away = np.abs(electropositivity(elements) - electropositivity(old[i : i + 1]))
        weights = np.where(np.isin(elements, [*new, *old]), 0.0, counts * np.exp(-away / NEAR))
        new[i] = random.choice(elements, p=weights / weights.sum())
    return new[place]


def _rescaled(prototype: Material, numbers: Integer[np.ndarray, " n"]) -> Material | None:
    """Return the rescaled crystal of other elements, or None where no volume of them is known."""
    volumes = [volume_of_atom(composition_vector(z)) for z in (prototype.numbers, numbers)]
    if None in volumes:
        return None
    before, after = volumes
    lattice = prototype.lattice * np.cbrt(after / before)
    return replace(prototype, lattice=lattice, numbers=numbers, split=None)


def row(material: Material) -> dict[str, Any]:
    """Return a crystal as a row of a source of JSON lines.

    A new crystal has no split: the dataset job trains on it where its formula and space group, in
    the canonical cell, are not held out.
    """
    return {
        "material_id": material.material_id,
        "space_group": material.space_group,
        "lattice": material.lattice.tolist(),
        "species": [SYMBOLS[number] for number in material.numbers],
        "frac_coords": material.frac_coords.tolist(),
        "split": material.split,
    }


def main(args: list[str] | None = None) -> None:
    """Write the known crystals and the new ones."""
    options = tyro.cli(Options, prog="python -m benchmarks.ablation.substituted", args=args)
    source = open_source(options.materials)
    known = [
        material
        for material in source
        if isinstance(material, Material) and material.crystal_system == options.system
    ]
    new = islice(substituted(known, options.seed), options.number)
    with options.out.open("w") as file:
        for material in (*known, *new):
            file.write(json.dumps(row(material)) + "\n")


if __name__ == "__main__":
    run_command(main)
