"""Fit of atomic volumes: `python benchmarks/atomic_volumes.py [--materials FILES] [--write]`.

Two volumes of each element, in ionic and in other compounds (`cmed_jax.crystal.atomic_volumes`),
are fitted to the volumes per atom of known crystals. The errors are relative. Large ones count less
(an approximation of their absolute value), because some crystals have large pores. An element with
few crystals of one kind has the volume of the other kind. The output is percentiles of ln of the
true volume over the fitted one. The table in the package was fitted to the embedded materials
together with the training splits of CrystalNet's cubic and trigonal materials. Held-out materials
are not used, because the table is a feature of the gate and must not depend on the materials that
test it.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.optimize
import tyro
from jaxtyping import Float

from cmed_jax.crystal.atomic_volumes import TABLE, is_ionic
from cmed_jax.crystal.composition import SYMBOLS, composition_vector
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.sources import open_source
from cmed_jax.crystal.splits import assign_splits

PATH = Path(__file__).parents[1] / "cmed_jax" / "crystal" / "embedded" / TABLE
FEW = 10
"""The number of crystals of a kind below which the volume of an element is not fitted."""
SMALL = 0.1
"""The relative error above which errors count less."""
ROUNDS = 6
PERCENTILES = (1, 5, 16, 50, 84, 95, 99)


@dataclass(frozen=True)
class Options:
    """Fit atomic volumes to known crystals.

    Attributes:
        materials: sources beside the embedded crystals, such as files of JSON lines.
        write: write the table into the package.
    """

    materials: tuple[str, ...] = ()
    write: bool = False


def fit(
    fractions: Float[np.ndarray, "n 119"], volumes: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "119"]:
    """Return the volume of an atom of each element, angstrom^3; 0 with too few crystals."""
    weights = 1 / volumes
    for _ in range(ROUNDS):
        each, _ = scipy.optimize.nnls(fractions * weights[:, None], volumes * weights)
        off = np.abs(fractions @ each / volumes - 1)
        weights = np.sqrt(np.minimum(1, SMALL / np.maximum(off, 1e-6))) / volumes
    return np.where((fractions > 0).sum(axis=0) < FEW, 0.0, each)


def fractions_and_volumes(
    materials: Iterable[Material],
) -> tuple[Float[np.ndarray, "n 119"], Float[np.ndarray, " n"]]:
    """Return the atom fractions of crystals, and their volumes per atom, angstrom^3."""
    pairs = [(composition_vector(m.numbers), m.volume / len(m.numbers)) for m in materials]
    fractions, volumes = zip(*pairs, strict=True)
    return np.array(fractions, float), np.array(volumes)


def of_training(sources: Iterable[Iterable[Material | Refusal]]) -> list[Material]:
    """Return the materials that no source holds out, with splits as in a dataset."""
    every = [[each for each in source if isinstance(each, Material)] for source in sources]
    splits = [assign_splits(materials) for materials in every]
    held_out = {name for split in splits for name, part in split.items() if part != "train"}
    return [each for materials in every for each in materials if each.material_id not in held_out]


def main() -> None:
    """Run the command."""
    options = tyro.cli(Options, prog="python benchmarks/atomic_volumes.py")
    found = of_training(open_source(each) for each in (None, *options.materials))
    fractions, volumes = fractions_and_volumes(found)
    ionic = is_ionic(fractions)
    kinds = [fit(fractions[kind], volumes[kind]) for kind in (~ionic, ionic)]
    elsewhere, among = (np.where(own > 0, own, other) for own, other in (kinds, reversed(kinds)))
    off = np.log(
        volumes / np.maximum(fractions @ elsewhere * ~ionic + fractions @ among * ionic, 1)
    )
    print(f"{len(found)} crystals; ln(volume / fitted), percentiles: ", end="")
    print(
        ", ".join(
            f"{p} {x:+.3f}"
            for p, x in zip(PERCENTILES, np.percentile(off, PERCENTILES), strict=True)
        )
    )
    if options.write:
        _write(elsewhere, among)


def _write(elsewhere: Float[np.ndarray, "119"], ionic: Float[np.ndarray, "119"]) -> None:
    with PATH.open("w", encoding="ascii", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["element", "elsewhere", "ionic"])
        for z in np.flatnonzero(elsewhere).tolist():
            rows.writerow([SYMBOLS[z], f"{elsewhere[z]:.2f}", f"{ionic[z]:.2f}"])


if __name__ == "__main__":
    main()
