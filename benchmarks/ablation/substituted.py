"""Crystals that nobody made: `python -m benchmarks.ablation.substituted --out FILE`.

In a training crystal some elements are replaced by others, drawn the more often the nearer they are
in electronegativity and the more crystals hold them, and the cell is scaled as their volumes ask
(`cmed_jax.crystal.atomic_volumes`). What has the reduced formula and the space group of a known
crystal, held out or not, or of one made before, is left out. FILE holds the known crystals and then
the new ones, of which the dataset job builds a dataset:

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
"""Ranks of electronegativity between two elements at which one is drawn e times less often."""
SHARE = 0.5
"""Of a crystal's elements that are replaced, about; at least one is."""
MISSES = 1000
"""After so many known crystals in a row no new one is looked for."""


@dataclass(frozen=True)
class Options:
    """Make substituted crystals.

    Attributes:
        out: the file of JSON lines to write.
        materials: where known crystals come from, as the dataset job takes it.
        system: crystal system.
        number: of substituted crystals.
        seed: of all that is random.
    """

    out: Path
    materials: str | None = None
    system: str = "cubic"
    number: int = 8000
    seed: int = 0


def substituted(known: Sequence[Material], seed: int) -> Iterator[Material]:
    """Yield training crystals with other elements, none of them known, none twice.

    Args:
        known: crystals of every split; those without one, or of "train", are changed.
        seed: of all that is random.
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
        template = training[random.integers(len(training))]
        crystal = _rescaled(template, _other_elements(template.numbers, elements, counts, random))
        if crystal is not None and (kind := (crystal.formula, crystal.space_group)) not in found:
            found.add(kind)
            misses = 0
            yield replace(crystal, material_id=f"substituted-{len(found)}")


def _other_elements(
    numbers: Integer[np.ndarray, " n"],
    elements: Integer[np.ndarray, " m"],
    counts: Integer[np.ndarray, " m"],
    random: np.random.Generator,
) -> Integer[np.ndarray, " n"]:
    """Return atomic numbers of a crystal some of whose elements are others; no two become one."""
    old, place = np.unique(numbers, return_inverse=True)
    new = old.copy()
    replaced = random.random(len(old)) < SHARE
    replaced[random.integers(len(old))] = True
    for i in np.flatnonzero(replaced):
        away = np.abs(electropositivity(elements) - electropositivity(old[i : i + 1]))
        weights = np.where(np.isin(elements, [*new, *old]), 0.0, counts * np.exp(-away / NEAR))
        new[i] = random.choice(elements, p=weights / weights.sum())
    return new[place]


def _rescaled(template: Material, numbers: Integer[np.ndarray, " n"]) -> Material | None:
    """Return the crystal of other elements, or None where nothing tells what room they need."""
    volumes = [volume_of_atom(composition_vector(z)) for z in (template.numbers, numbers)]
    if None in volumes:
        return None
    before, after = volumes
    lattice = template.lattice * np.cbrt(after / before)
    return replace(template, lattice=lattice, numbers=numbers, split=None)


def row(material: Material) -> dict[str, Any]:
    """Return a crystal as a source of JSON lines reads it.

    A new one names no split: the dataset job trains on it where its formula and space group, in the
    canonical cell, are not held out.
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
    """Write the crystals that are known, and the new ones."""
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
