"""Predict a density: `python -m cmed_jax.predict FILE --checkpoint RUN --wavelength CuKa ...`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from jaxtyping import Float

from cmed_jax.config import run_command
from cmed_jax.crystal.lattice import Centring, primitive_lattice
from cmed_jax.files.volumes import check_output
from cmed_jax.physics.cell import cell_volume
from cmed_jax.prediction import restore_and_predict


@dataclass(frozen=True)
class Options:
    """Predict the electron density of the unit cell behind a measured powder pattern.

    Attributes:
        pattern: a file of a measured pattern: columns of two-theta and intensity (.xy, .csv, ...),
            .cif, .xrdml, .ras, .rasx, .brml, .raw, .uxd, .fxye, .gsas.
        checkpoint: a run's folder, or a checkpoint inside it.
        wavelength: a radiation such as CuKa, or angstroms; needed where the file does not say it.
        composition: a formula such as NaCl.
        elements: the elements alone, where their ratios are unknown.
        grid: points along a, b, c.
        samples: densities to draw beside the plain one; their deviation is saved in .npz.
        seed: of the samples.
        cell: a b c (angstrom) alpha beta gamma (degrees) of the conventional cell, for the formats
            that hold one.
        centring: of that cell; the density is written in its primitive cell. R means hexagonal
            axes, P takes the cell as primitive already.
        out: a file to write, .npy, .npz, .cube, .xsf, .ccp4, .map, .mrc, .chgcar, .vasp or CHGCAR*;
            density.npz where none is given.
    """

    pattern: Annotated[Path, tyro.conf.Positional]
    checkpoint: Path
    wavelength: str | None = None
    composition: str | None = None
    elements: tuple[str, ...] = ()
    grid: tuple[int, int, int] = (50, 50, 50)
    samples: int = 0
    seed: int = 0
    cell: tuple[float, float, float, float, float, float] | None = None
    centring: Centring = "P"
    out: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()

    def lattice(self) -> Float[np.ndarray, "3 3"] | None:
        """Return the lattice that the density fills, where the cell is known.

        Raises:
            ValueError: the cell is none, or is missing where the centring is not.
        """
        if self.cell is not None:
            return primitive_lattice(self.cell, self.centring)
        if self.centring != "P":
            raise ValueError(f"centring {self.centring} is of no cell: give --cell as well")
        return None


def main(args: list[str] | None = None) -> int:
    """Run the command."""
    options = tyro.cli(Options, args=args, prog="python -m cmed_jax.predict")
    outputs = options.out or (Path("density.npz"),)
    lattice = options.lattice()
    for output in outputs:
        check_output(output, lattice)
    if options.composition and options.elements:
        raise ValueError("give either --composition or --elements, not both")
    prediction = restore_and_predict(
        options.checkpoint,
        options.pattern,
        options.composition or list(options.elements) or None,
        wavelength=options.wavelength,
        grid=options.grid,
        samples=options.samples,
        seed=options.seed,
    )
    for output in outputs:
        prediction.save(output, lattice)
    for warning in prediction.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{', '.join(map(str, outputs))}: {_summary(prediction.density, lattice)}")
    return 0


def _summary(density: Float[np.ndarray, "a b c"], lattice: Float[np.ndarray, "3 3"] | None) -> str:
    voxels = " x ".join(map(str, density.shape))
    mean = density.mean()
    summary = (
        f"{voxels} voxels, {density.min():.3g} to {density.max():.3g} e/angstrom^3, mean {mean:.3g}"
    )
    if lattice is None:
        return summary
    volume = cell_volume(lattice)
    return f"{summary}; {mean * volume:.4g} electrons in a cell of {volume:.4g} angstrom^3"


if __name__ == "__main__":
    run_command(main)
